"""Servers that messages are sent to, on a free port of 127.0.0.1.

    receivers.py https CERT KEY
    receivers.py smtp none|starttls|implicit CERT KEY [USER PASSWORD]

The first line on stdout is the port; after it comes a JSON line for each message
that was taken. It ends when its stdin does.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


def tell(value):
    print(json.dumps(value), flush=True)


def context(certificate, key):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    return made


def https(certificate, key):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            tell({"path": self.path, "body": body.decode()})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context(certificate, key).wrap_socket(server.socket, server_side=True)
    tell(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


def smtp(tls, certificate, key, user=None, password=None):
    from aiosmtpd.smtp import SMTP, AuthResult

    class Handler:
        async def handle_RCPT(self, server, session, envelope, address, options):
            if address.startswith("refused"):
                return "550 5.1.1 there is nobody of that name"
            if address.startswith("later"):
                return "451 4.7.1 come back later"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server, session, envelope):
            parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
            tell({
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "headers": [[name, str(value)] for name, value in parsed.items()],
                "body": parsed.get_content(),
                "tls": session.ssl is not None or tls == "implicit",
                "user": session.authenticated,
            })
            return "250 2.0.0 taken"

    def check(server, session, envelope, mechanism, data):
        # handled=False lets aiosmtpd answer; otherwise a bad password hangs.
        well = (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=well, handled=False)

    async def run():
        loop = asyncio.get_running_loop()
        options = {"hostname": "mail.test", "loop": loop}
        if user:
            options.update(authenticator=check, auth_required=True)
            options.update(auth_require_tls=tls == "starttls")
        if tls == "starttls":
            options.update(tls_context=context(certificate, key), require_starttls=True)
        wrapped = context(certificate, key) if tls == "implicit" else None
        make = lambda: SMTP(Handler(), **options)
        server = await loop.create_server(make, "127.0.0.1", 0, ssl=wrapped)
        tell(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, sys.stdin.read)

    asyncio.run(run())


{"https": https, "smtp": smtp}[sys.argv[1]](*sys.argv[2:])
