# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_kluis_global_optspecs
    string join \n c/config= env-file= s/storage= v/verbose q/quiet json no-progress color= lock-wait= run-limit= stall-limit= h/help V/version
end

function __fish_kluis_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_kluis_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_kluis_using_subcommand
    set -l cmd (__fish_kluis_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c kluis -n "__fish_kluis_needs_command" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_needs_command" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_needs_command" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_needs_command" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_needs_command" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_needs_command" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_needs_command" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_needs_command" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_needs_command" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_needs_command" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_needs_command" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_needs_command" -s V -l version -d 'Print version'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "backup" -d 'Make a backup of a database or of source trees'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "list" -d 'List the backups'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "show" -d 'Show everything that is known about a backup'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "status" -d 'Show how things stand, on one screen'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "check" -d 'Tell whether the backups are as they should be'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "history" -d 'Tell what was done to this storage, by whom, and how it ended'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "report" -d 'Tell how the backups stand and grow, as text or as a page for a browser'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "verify" -d 'Check that backups are whole and readable'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "restore" -d 'Bring a backup back'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "prune" -d 'Remove the backups that no rule keeps'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "delete" -d 'Delete backups for good'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "keep" -d 'Keep backups whatever the retention says'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "decrypt" -d 'Decrypt an archive file'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "adopt" -d 'Make manifests for files that have none'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "series" -d 'See which backups belong together, and move those of a renamed host'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "key" -d 'Make keys, see what they open, add, drop and exchange them'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "doctor" -d 'Check everything that backups and restores need'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "serve" -d 'Run the schedules of kluis.toml, and listen for triggers'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "notify" -d 'Look after the messages about runs'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "config" -d 'Look at the settings'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c kluis -n "__fish_kluis_needs_command" -f -a "man" -d 'Write the man pages into a directory'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -f -a "db" -d 'Back up PostgreSQL databases, each as one archive'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and not __fish_seen_subcommand_from db source" -f -a "source" -d 'Back up directories or single files, each as one tar archive'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l exclude-db -d 'With --all: not those that match' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l format -d 'pg_dump\'s output format' -r -f -a "plain\t'SQL text that any psql reads'
custom\t'One file for pg_restore'
directory\t'A file per table for pg_restore, as one tar'"
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -s j -l jobs -d 'Dump so many tables at once; needs --format directory' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l url -d 'Connect to this server: postgres://user@host:port/database' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l mode -d 'Reach the server directly, or inside its container' -r -f -a "auto\t'Directly where a URL is given and answers, else in a container'
direct\t'By the client programs of this machine'
docker\t'By the programs inside the server\'s container'"
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l container -d 'The server\'s container; implies --mode docker' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -s n -l schema -d 'Only these schemas (pg_dump\'s pattern; may be repeated)' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -s N -l exclude-schema -d 'Not these schemas' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -s t -l table -d 'Only these tables' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -s T -l exclude-table -d 'Not these tables' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l codec -d 'How to compress' -r -f -a "gzip\t'Any gunzip reads it'
zstd\t'Smaller and faster; any zstd reads it'
none\t'As it is'"
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l level -d 'Compression level: gzip 1 to 12, zstd 1 to 19' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l note -d 'A remark to keep in the manifest' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l trigger -d 'What started the run, for the history' -r -f -a "manual\t'A person'
scheduled\t'A timer, such as cron or systemd'
external\t'Another program'"
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l host -d 'The name that tells this host\'s backups from other hosts\' in one storage' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l schedule -d 'Back up what this [[schedule]] of kluis.toml names, and prune by its rules' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l all -d 'Every database of the server but template0 and template1'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l globals -d 'Also what all databases share: roles and tablespaces'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -s O -l no-owner -d 'Leave out whose everything is (as --no-owner in dump_options)'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -s x -l no-privileges -d 'Leave out what is granted and revoked'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l ignore-missing -d 'A -n or -t that finds nothing is no error'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l no-encrypt -d 'Write the archive unencrypted, even if a key is configured'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l keep -d 'Keep this backup: prune never removes it'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from db" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l name -d 'Call the backup this, instead of by the directory\'s name' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l exclude -d 'Leave out what matches: a name at any depth, or a path with a slash' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l exclude-from -d 'Read excludes from a file, one glob a line' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l exclude-if-present -d 'Leave out directories that hold a file of this name' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l codec -d 'How to compress' -r -f -a "gzip\t'Any gunzip reads it'
zstd\t'Smaller and faster; any zstd reads it'
none\t'As it is'"
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l level -d 'Compression level: gzip 1 to 12, zstd 1 to 19' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l note -d 'A remark to keep in the manifest' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l trigger -d 'What started the run, for the history' -r -f -a "manual\t'A person'
scheduled\t'A timer, such as cron or systemd'
external\t'Another program'"
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l host -d 'The name that tells this host\'s backups from other hosts\' in one storage' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l schedule -d 'Back up what this [[schedule]] of kluis.toml names, and prune by its rules' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l exclude-caches -d 'Leave out the content of directories with a CACHEDIR.TAG, but for that'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l no-default-excludes -d 'Keep also what is left out by default'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l allow-empty -d 'A directory without files is no problem, also where it had some before'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l one-file-system -d 'Do not enter other file systems'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l no-encrypt -d 'Write the archive unencrypted, even if a key is configured'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l keep -d 'Keep this backup: prune never removes it'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand backup; and __fish_seen_subcommand_from source" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand list" -l kind -d 'Only this kind' -r -f -a "db\t'Databases'
source\t'Source trees'"
complete -c kluis -n "__fish_kluis_using_subcommand list" -l name -d 'Only backups of this name' -r
complete -c kluis -n "__fish_kluis_using_subcommand list" -l sort -d 'Order: newest, largest or first name on top' -r -f -a "date\t'Newest first'
size\t'Largest first'
name\t'By name'"
complete -c kluis -n "__fish_kluis_using_subcommand list" -l limit -d 'At most this many' -r
complete -c kluis -n "__fish_kluis_using_subcommand list" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand list" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand list" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand list" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand list" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand list" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand list" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand list" -l reverse -d 'Turn the order round'
complete -c kluis -n "__fish_kluis_using_subcommand list" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand list" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand list" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand list" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand show" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand show" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand show" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand show" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand show" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand show" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand show" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand show" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand show" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand show" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand status" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand status" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand status" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand status" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand status" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand status" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand status" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand status" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand status" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand status" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand status" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand check" -l prometheus -d 'Also write metrics into this file, for node_exporter\'s textfile collector' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand check" -l trigger -d 'What started the run, for the history' -r -f -a "manual\t'A person'
scheduled\t'A timer, such as cron or systemd'
external\t'Another program'"
complete -c kluis -n "__fish_kluis_using_subcommand check" -l schedule -d 'The [[schedule]] that this run belongs to, for the history' -r
complete -c kluis -n "__fish_kluis_using_subcommand check" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand check" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand check" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand check" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand check" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand check" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand check" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand check" -l nagios -d 'One line and performance data, with the exit codes of a Nagios plugin'
complete -c kluis -n "__fish_kluis_using_subcommand check" -l no-server -d 'Do not ask the server which databases it has'
complete -c kluis -n "__fish_kluis_using_subcommand check" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand check" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand check" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand check" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand history" -l command -d 'Only this command, such as backup, \'backup db\' or prune' -r
complete -c kluis -n "__fish_kluis_using_subcommand history" -l result -d 'Only runs that ended so' -r -f -a "completed\t'Ended well'
failed\t'Ended with an error'
running\t'Under way'
interrupted\t'Gone without a word'"
complete -c kluis -n "__fish_kluis_using_subcommand history" -l about -d 'Only runs about archives with this in their name' -r
complete -c kluis -n "__fish_kluis_using_subcommand history" -l since -d 'Only runs that began so long ago or less, such as 12h, 7d or 1m' -r
complete -c kluis -n "__fish_kluis_using_subcommand history" -l limit -d 'At most this many; 0 is all' -r
complete -c kluis -n "__fish_kluis_using_subcommand history" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand history" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand history" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand history" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand history" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand history" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand history" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand history" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand history" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand history" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand history" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand report" -l html -d 'Write the page into this file; - is stdout' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand report" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand report" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand report" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand report" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand report" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand report" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand report" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand report" -l no-server -d 'Do not ask the server which databases it has'
complete -c kluis -n "__fish_kluis_using_subcommand report" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand report" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand report" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand report" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l url -d 'Connect to this server: postgres://user@host:port/database' -r
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l mode -d 'Reach the server directly, or inside its container' -r -f -a "auto\t'Directly where a URL is given and answers, else in a container'
direct\t'By the client programs of this machine'
docker\t'By the programs inside the server\'s container'"
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l container -d 'The server\'s container; implies --mode docker' -r
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l trigger -d 'What started the run, for the history' -r -f -a "manual\t'A person'
scheduled\t'A timer, such as cron or systemd'
external\t'Another program'"
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l schedule -d 'The [[schedule]] that this run belongs to, for the history' -r
complete -c kluis -n "__fish_kluis_using_subcommand verify" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand verify" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l all -d 'All of them'
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l pending -d 'Those that were not verified yet, or failed'
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l quick -d 'Only compare the stored file\'s checksum; needs no key, and does not tell whether a header that a change of keys wrote anew still opens'
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l restore -d 'Restore each into a throwaway place, and compare what came back'
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l in-server -d 'With --restore: into a throwaway database on the configured server, instead of a throwaway server on this machine'
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l as-superuser -d 'With --in-server: also where that login is a superuser\'s. Code that stands in the dump runs with its rights there'
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l accept-unsealed -d 'With --restore: also a backup that no key of ours sealed; what it holds is run to prove it'
complete -c kluis -n "__fish_kluis_using_subcommand verify" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand verify" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand verify" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l to -d 'Source: into this directory, new or empty' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l into -d 'Database: into this one, new or empty' -r
complete -c kluis -n "__fish_kluis_using_subcommand restore" -s t -l table -d 'Database: only this table, with what belongs to it (may be repeated)' -r
complete -c kluis -n "__fish_kluis_using_subcommand restore" -s n -l schema -d 'Database: only this schema, with everything in it (may be repeated)' -r
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l path -d 'Source: only what matches, with all below it and the directories above it (may be repeated); a name at any depth, or a path with a slash' -r
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l role -d 'Database: become this role before anything is made' -r
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l set -d 'Database: this setting while it is filled, whatever the dump sets, such as search_path=public (may be repeated)' -r
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l url -d 'Connect to this server: postgres://user@host:port/database' -r
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l mode -d 'Reach the server directly, or inside its container' -r -f -a "auto\t'Directly where a URL is given and answers, else in a container'
direct\t'By the client programs of this machine'
docker\t'By the programs inside the server\'s container'"
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l container -d 'The server\'s container; implies --mode docker' -r
complete -c kluis -n "__fish_kluis_using_subcommand restore" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand restore" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l replace -d 'Database: in place of the one it was made of, swapped in at once'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l list -d 'Nowhere; print what is in the backup'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l part -d 'With --replace: the backup is a part, or adopted and may be one, and what is not in it may go'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l keep-old -d 'With --replace: keep the replaced database under another name'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l in-place -d 'Database: fill the existing one in one transaction, instead of building a new one and swapping it in; for roles without CREATEDB'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l no-pre-restore-backup -d 'Database: do not back up first what is replaced'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l as-superuser -d 'Database: where the login is a superuser\'s, also run with its rights what stands in the dump, instead of with those of the role that owns it'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -s O -l no-owner -d 'Database: leave out whose everything is; all of it is the restoring role\'s'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -s x -l no-privileges -d 'Database: leave out what is granted and revoked'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l accept-differences -d 'Database: take it also where it differs from its dump, as where a trigger of its own writes while it is filled; each difference is named (exit code 3)'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l no-links-outside -d 'Source: leave out symlinks that lead outside the restored tree'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l links-outside -d 'Source: make symlinks that lead outside, which is what happens anyway'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l accept-unsealed -d 'Also a backup that no key of ours sealed, which may be anybody\'s work'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l keep-going -d 'Bring back all that can be brought back, and list the rest'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l yes -d 'Do not ask; for scripts'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l dry-run -d 'Check the archive and the destination, change nothing'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l simulate -d 'Play the rules over so much time of nightly backups, each as large as the newest one; remove nothing' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l kind -d 'Only this kind' -r -f -a "db\t'Databases'
source\t'Source trees'"
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l name -d 'Only backups of this name' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l keep-last -d 'Keep the newest N' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l keep-hourly -d 'Keep the newest of each of N hours' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l keep-daily -d 'Keep the newest of each of N days' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l keep-weekly -d 'Keep the newest of each of N weeks' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l keep-monthly -d 'Keep the newest of each of N months' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l keep-yearly -d 'Keep the newest of each of N years' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l keep-within -d 'Keep all younger than this, such as 48h, 2w or 6m' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l max-age -d 'Remove all older than this, such as 90d, whatever other rules say' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l trigger -d 'What started the run, for the history' -r -f -a "manual\t'A person'
scheduled\t'A timer, such as cron or systemd'
external\t'Another program'"
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l schedule -d 'The [[schedule]] that this run belongs to, for the history' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand prune" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l dry-run -d 'Print what would be kept and removed, and why; remove nothing'
complete -c kluis -n "__fish_kluis_using_subcommand prune" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand prune" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand prune" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand delete" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand delete" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand delete" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand delete" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand delete" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand delete" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand delete" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand delete" -l yes -d 'Do not ask'
complete -c kluis -n "__fish_kluis_using_subcommand delete" -l force -d 'Also kept ones, and the last good one of a database or tree'
complete -c kluis -n "__fish_kluis_using_subcommand delete" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand delete" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand delete" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand delete" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand keep" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand keep" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand keep" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand keep" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand keep" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand keep" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand keep" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand keep" -l release -d 'Let the retention decide again'
complete -c kluis -n "__fish_kluis_using_subcommand keep" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand keep" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand keep" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand keep" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand keep" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -s o -l output -d 'Write here, or to stdout with -; by default FILE without .enc' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand decrypt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -l name -d 'The database\'s or tree\'s name, where the file\'s name does not tell it' -r
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -l kind -d 'What a tar holds, where nothing tells it: a dump in directory format, or a tree' -r -f -a "db\t'Databases'
source\t'Source trees'"
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -l all -d 'Every file of the storage that has no manifest, or one that was never sealed'
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -l accept-unsealed -d 'With --all, and a key configured: also files that are not encrypted, Kanbu\'s, or for a recipient alone, which anybody who can write there may have put there'
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand adopt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -f -a "list" -d 'List the series: what retention, check and latest count together'
complete -c kluis -n "__fish_kluis_using_subcommand series; and not __fish_seen_subcommand_from list move" -f -a "move" -d 'Give the backups of a renamed host or server its new label'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from list" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from list" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from list" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from list" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from list" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from list" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from list" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from list" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from list" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -l kind -d 'Only this kind' -r -f -a "db\t'Databases'
source\t'Source trees'"
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -l name -d 'Only backups of this name' -r
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -l dry-run -d 'Print what would be moved; change nothing'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -l yes -d 'Do not ask'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -l force -d 'Also where both labels made backups at the same time, as two hosts would'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand series; and __fish_seen_subcommand_from move" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -f -a "generate" -d 'Write a new key into a file'
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -f -a "list" -d 'Show which keys open which backups'
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -f -a "drill" -d 'Try every key, and say what its loss would cost'
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -f -a "add" -d 'Let one more key open backups'
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -f -a "drop" -d 'Take a key off backups'
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -f -a "rotate" -d 'Exchange a key for the configured ones'
complete -c kluis -n "__fish_kluis_using_subcommand key; and not __fish_seen_subcommand_from generate list drill add drop rotate repair" -f -a "repair" -d 'Write the headers of backups anew'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -s o -l output -d 'The file to write' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -l age -d 'An age identity: hosts that know its recipient write backups that only this file opens'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -l signing -d 'A key that signs what a host makes: hosts that know its public half take nothing else for a backup of theirs'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from generate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from list" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from list" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from list" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from list" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from list" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from list" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from list" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from list" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from list" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -l sample -d 'Read this many backups whole: the newest, the oldest, others between' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -l all -d 'Read all of them whole'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -l key-file -d 'A file that holds a key, a passphrase or an age identity' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -l recipient -d 'An age recipient' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -l all -d 'All of them'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -l accept-unsealed -d 'Also what opens by a recipient alone, which anybody who can write to the storage may have made: only where you know where all of it is from'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -l key-file -d 'A file that holds the key, the passphrase or the age identity' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -l id -d 'A key by its id: 16 hex digits' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -l recipient -d 'An age recipient' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -l all -d 'All of them'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -l force -d 'Also where no configured key opens the archive afterwards'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from drop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -l from -d 'A file that holds the old key, passphrase or age identity' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -l reencrypt -d 'Write the archives anew, under new data keys'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -l accept-unsealed -d 'Also what opens by a recipient alone, which anybody who can write to the storage may have made: only where you know where all of it is from'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -l dry-run -d 'Print what would be done; change nothing'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -l all -d 'All of them'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand key; and __fish_seen_subcommand_from repair" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -l url -d 'Connect to this server: postgres://user@host:port/database' -r
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -l mode -d 'Reach the server directly, or inside its container' -r -f -a "auto\t'Directly where a URL is given and answers, else in a container'
direct\t'By the client programs of this machine'
docker\t'By the programs inside the server\'s container'"
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -l container -d 'The server\'s container; implies --mode docker' -r
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand serve" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand serve" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand serve" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand serve" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand serve" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand serve" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand serve" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand serve" -l next -d 'Show when each schedule runs next, and its command line; run nothing'
complete -c kluis -n "__fish_kluis_using_subcommand serve" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand serve" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand serve" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand serve" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand notify; and not __fish_seen_subcommand_from test" -f -a "test" -d 'Send a test message to the configured receivers'
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -l to -d 'Only this receiver (may be repeated); config show tells the names' -r
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand notify; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand config; and not __fish_seen_subcommand_from show" -f -a "show" -d 'Print every setting and where it came from'
complete -c kluis -n "__fish_kluis_using_subcommand config; and __fish_seen_subcommand_from show" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand config; and __fish_seen_subcommand_from show" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand config; and __fish_seen_subcommand_from show" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand config; and __fish_seen_subcommand_from show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand config; and __fish_seen_subcommand_from show" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand config; and __fish_seen_subcommand_from show" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand config; and __fish_seen_subcommand_from show" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand config; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand config; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand config; and __fish_seen_subcommand_from show" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand completions" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand completions" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand completions" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand completions" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand completions" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand completions" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand completions" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand completions" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand completions" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand completions" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand completions" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kluis -n "__fish_kluis_using_subcommand man" -s c -l config -d 'Read settings from this file, instead of looking for kluis.toml' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand man" -l env-file -d 'Read environment variables from KEY=VALUE lines; real ones win' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand man" -s s -l storage -d 'The directory that holds the backups' -r -F
complete -c kluis -n "__fish_kluis_using_subcommand man" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c kluis -n "__fish_kluis_using_subcommand man" -l lock-wait -d 'Wait this long for another run to end, such as 30s or 10m' -r
complete -c kluis -n "__fish_kluis_using_subcommand man" -l run-limit -d 'Stop the run after this long, such as 12h; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand man" -l stall-limit -d 'Stop a backup of which no byte moves for so long, such as 30m; 0 is never' -r
complete -c kluis -n "__fish_kluis_using_subcommand man" -s v -l verbose -d 'Say more about what is done and why; -vv each step of it too'
complete -c kluis -n "__fish_kluis_using_subcommand man" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c kluis -n "__fish_kluis_using_subcommand man" -l json -d 'Print the result as one JSON document'
complete -c kluis -n "__fish_kluis_using_subcommand man" -l no-progress -d 'Show no progress bar'
complete -c kluis -n "__fish_kluis_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
