// Writes the vectors of the legacy format with Node's crypto (OpenSSL), so that
// they come from an implementation that shares nothing with kluis:
//
//     node make.mjs            writes *.enc and vectors.json beside this file
//     node make.mjs --search   looks for an IV whose counter wraps, in seconds
//
// File: 16-byte IV, ciphertext, 16-byte tag; AES-256-GCM. Key: 64 hex digits as
// they are, else PBKDF2-HMAC-SHA256. IVs and plaintexts are fixed, so that a
// second run gives the same bytes: never encrypt anything real this way.
import { createCipheriv, createDecipheriv, createHash, pbkdf2Sync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const RAW = '000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F';
const PASSPHRASE = 'correct horse battery staple – ünïcode';
// Found by --search: its first counter block ends in fffff2f5, so that the
// counter is zero at the plaintext's 3,339th block of 4,096.
const WRAPPING_IV = '00000000000000000000000000034366';
const WRAPPING_BLOCKS = 4096;

function key(text) {
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, 'hex');
  return pbkdf2Sync(text, 'kanbu-backup-encryption-salt-v1', 100_000, 32, 'sha256');
}

function encrypt(text, iv, plaintext) {
  const cipher = createCipheriv('aes-256-gcm', key(text), iv);
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([iv, body, cipher.getAuthTag()]);
}

// With nothing encrypted the tag is the first counter block, encrypted once.
function firstCounter(keyBytes, iv) {
  const gcm = createCipheriv('aes-256-gcm', keyBytes, iv);
  gcm.final();
  const ecb = createDecipheriv('aes-256-ecb', keyBytes, null).setAutoPadding(false);
  return ecb.update(gcm.getAuthTag()).readUInt32BE(12);
}

const wraps = (counter) => counter > 2 ** 32 - WRAPPING_BLOCKS && counter < 2 ** 32 - 64;

function search() {
  const iv = Buffer.alloc(16);
  const keyBytes = key(RAW);
  for (let n = 0; ; n++) {
    iv.writeUInt32BE(n, 12);
    const counter = firstCounter(keyBytes, iv);
    if (wraps(counter)) return `${iv.toString('hex')} ${counter.toString(16)}`;
  }
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest();

// Bytes without pattern: SHA-256 of a counter, over and over.
function noise(bytes) {
  const blocks = [];
  for (let n = 0; n * 32 < bytes; n++) blocks.push(sha256(`kluis ${n}`));
  return Buffer.concat(blocks).subarray(0, bytes);
}

function dump() {
  const rows = Array.from({ length: 500 }, (_, n) => `${n}\tname ${n % 7}\t\\N`);
  const text = ['-- PostgreSQL database dump', 'COPY public.t (id, name, note) FROM stdin;', ...rows];
  return gzipSync([...text, '\\.', '-- PostgreSQL database dump complete', ''].join('\n'));
}

// One that psql can restore, as pg_dump writes it.
function wholeDump() {
  const rows = Array.from({ length: 300 }, (_, n) => `${n}\tname ${n % 7}\t\\N`);
  return gzipSync([
    '--', '-- PostgreSQL database dump', '--', '',
    'SET client_encoding = \'UTF8\';', 'SET standard_conforming_strings = on;', '',
    'CREATE TABLE public.t (', '    id integer,', '    name text,', '    note text', ');', '',
    'COPY public.t (id, name, note) FROM stdin;', ...rows, '\\.', '', '',
    '--', '-- PostgreSQL database dump complete', '--', '', '',
  ].join('\n'));
}

// A POSIX ustar header (IEEE 1003.1) and the data, padded to 512 bytes.
function tarEntry(name, type, content = '') {
  const header = Buffer.alloc(512);
  const octal = (n, width) => `${n.toString(8).padStart(width - 1, '0')}\0`;
  header.write(name, 0);
  header.write(octal(type === '5' ? 0o755 : 0o644, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(content.length, 12), 124);
  header.write(octal(1_700_000_000, 12), 136);
  header.write(' '.repeat(8) + type, 148);
  header.write('ustar\x0000', 257);
  header.write(octal(header.reduce((sum, byte) => sum + byte), 7) + ' ', 148);
  const data = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  data.write(content);
  return Buffer.concat([header, data]);
}

function tree() {
  const entries = [
    tarEntry('./', '5'),
    tarEntry('./src/', '5'),
    tarEntry('./src/main.ts', '0', 'console.log(1)\n'),
    tarEntry('./README.md', '0', 'read me\n'),
  ];
  return gzipSync(Buffer.concat([...entries, Buffer.alloc(10240 - 512 * 6)]));
}

if (process.argv.includes('--search')) {
  console.log(search());
  process.exit();
}

const wrappingIv = Buffer.from(WRAPPING_IV, 'hex');
if (!wraps(firstCounter(key(RAW), wrappingIv))) throw new Error('WRAPPING_IV does not wrap');

const cases = [
  ['raw-key', RAW, Buffer.from('SELECT 1;\n')],
  ['passphrase', PASSPHRASE, Buffer.from('SELECT 2;\n')],
  // 64 hex digits and a newline are not a raw key, but a passphrase.
  ['hex-with-newline', `${RAW}\n`, Buffer.from('SELECT 3;\n')],
  ['empty', RAW, Buffer.alloc(0)],
  ['one-byte', RAW, Buffer.from('x')],
  ['64k-and-1', RAW, noise(65537)],
  ['gzipped-dump', PASSPHRASE, dump()],
  ['counter-wraps', RAW, noise(WRAPPING_BLOCKS * 16), wrappingIv],
  ['whole-dump', PASSPHRASE, wholeDump()],
  ['tree', PASSPHRASE, tree()],
];
const vectors = cases.map(([name, keyText, plaintext, iv = sha256(name).subarray(0, 16)]) => {
  const file = `${name}.enc`;
  writeFileSync(new URL(file, import.meta.url), encrypt(keyText, iv, plaintext));
  return {
    file,
    key: keyText,
    plaintext_bytes: plaintext.length,
    plaintext_sha256: sha256(plaintext).toString('hex'),
  };
});
writeFileSync(new URL('vectors.json', import.meta.url), `${JSON.stringify(vectors, null, 2)}\n`);
