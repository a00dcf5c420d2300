"""The examples that -h shows, by command: what each does, and what is typed. Tests read and run them."""

from typing import Final

EXAMPLES: Final[dict[tuple[str, ...], list[tuple[str, str]]]] = {
    (): [
        ("store a value, and read it", "oxidbm set fruit apple red"),
        ("", "oxidbm get fruit apple"),
        ("what is in it, and how large it is", "oxidbm keys fruit"),
        ("", "oxidbm stat fruit"),
        ("completion of commands and options", "oxidbm --install-completion"),
    ],
    ("stat",): [
        ("how many keys there are, and how large all of it is", "oxidbm stat fruit"),
        ("where its log begins and ends, and what it has in memory", "oxidbm stat fruit --all"),
        ("the same for a program", "oxidbm stat fruit --json"),
    ],
    ("get",): [
        ("a value", "oxidbm get fruit apple"),
        ("a picture into a file, just its bytes", "oxidbm get fruit picture -o picture.png"),
        ("a key as `keys` prints it", r"oxidbm get fruit -e 'two\nlines\x00'"),
        ("a key of a store of tuples", "oxidbm get scores '[\"ann\", 3]'"),
        ("in a script: is the key there?", "oxidbm get fruit apple > /dev/null && echo yes"),
    ],
    ("set",): [
        ("a value, for 15 minutes", "oxidbm set fruit apple red --expire 15m"),
        ("the value from stdin, as it is", "gzip < notes | oxidbm set fruit notes -"),
        ("the value from a file, as it is", "oxidbm set fruit picture -i picture.png"),
        ("a new store with keys of numbers and values of JSON",
         "oxidbm set users 7 '{\"name\": \"ann\"}' --key int --value json"),
        ("a value that begins with a hyphen", "oxidbm set scores bob -- -5"),
    ],
    ("del",): [
        ("two keys", "oxidbm del fruit apple banana"),
        ("a key as `keys` prints it", r"oxidbm del fruit -e 'two\nlines'"),
    ],
    ("evict",): [
        ("a key that has a tag, and all that have it", "oxidbm set fruit grape blue --tag vine"),
        ("", "oxidbm evict fruit vine"),
    ],
    ("keys",): [
        ("the keys that begin with user:", "oxidbm keys fruit --prefix user:"),
        ("the first ten", "oxidbm keys fruit --limit 10"),
        ("each key's value", 'oxidbm keys fruit | while read -r key; do oxidbm get fruit -e "$key"; done'),
    ],
    ("scan",): [
        ("what is in the store, in the order of writing", "oxidbm scan fruit --limit 10"),
        ("old versions and deletions, too", "oxidbm scan fruit --all"),
    ],
    ("history",): [
        ("what a key was before", "oxidbm history fruit apple"),
        ("of a key that was deleted", "oxidbm history fruit apple --scan"),
    ],
    ("dump",): [
        ("JSON lines, compressed", "oxidbm dump fruit | gzip > fruit.json.gz"),
        ("a form that notices damage", "oxidbm dump fruit --format binary -o fruit.dump"),
    ],
    ("load",): [
        ("what dump wrote, into a new store", "oxidbm load copy fruit.dump"),
        ("from a pipe", "gunzip < fruit.json.gz | oxidbm load copy"),
        ("a file that says no codecs, into a store of numbers", "oxidbm load users lines.json --key int --value json"),
    ],
    ("backup",): [
        ("a copy, also while a program writes", "oxidbm backup fruit /backups/fruit"),
    ],
    ("checkpoint",): [
        ("before something risky", "oxidbm checkpoint fruit --name before-import"),
    ],
    ("checkpoints",): [
        ("which there are", "oxidbm checkpoints fruit"),
    ],
    ("recover",): [
        ("back to a checkpoint; it asks first", "oxidbm recover fruit 000000000412-d5627553"),
        ("its state as a store of its own", "oxidbm recover fruit 000000000412-d5627553 --to before"),
    ],
    ("purge",): [
        ("one checkpoint", "oxidbm purge fruit 000000000412-d5627553"),
        ("all but the newest three", "oxidbm purge fruit --keep 3"),
    ],
    ("check",): [
        ("is everything as it was written?", "oxidbm check fruit"),
    ],
    ("salvage",): [
        ("what is left of a damaged store", "oxidbm salvage fruit saved"),
        ("one whose file STORE is lost", "oxidbm salvage users saved --key int --value json"),
    ],
    ("sessions",): [
        ("what is known of each", "oxidbm sessions jobs"),
        ("forget one", "oxidbm sessions jobs --forget importer"),
    ],
    ("compact",): [
        ("gently, for ten minutes at most", "oxidbm compact fruit --rate 20MiB --timeout 10m"),
    ],
    ("reorganize",): [
        ("all of it at once", "oxidbm reorganize fruit"),
    ],
    ("watch",): [
        ("every ten seconds, until Ctrl-C", "oxidbm watch fruit --interval 10s"),
        ("one line of JSON a minute, for an hour", "oxidbm watch fruit --interval 1m --count 60 --json"),
    ],
    ("bench",): [
        ("a million keys, on another disk", "oxidbm bench --items 1000000 --directory /mnt/disk"),
    ],
    ("convert",): [
        ("a file of gdbm", "oxidbm convert old.gdbm new --from gdbm"),
        ("into a store of text keys and numbers", "oxidbm convert old new --from dumb --key str --value int"),
        ("a shelf, into a store of key=str, value=\"pickle\"", "oxidbm convert shelf new --from shelve"),
        ("a shelf that you trust, into a store without pickles",
         "oxidbm convert shelf new --from shelve --value objects --open-pickles"),
    ],
    ("log", "append"): [("each line of a file", "oxidbm log append events < lines.txt")],
    ("log", "tail"): [("the last five, and those that come", "oxidbm log tail events -n 5 -f")],
    ("log", "scan"): [("from an address on", "oxidbm log scan events --begin 104")],
    ("log", "read"): [("one entry, as it is", "oxidbm log read events 104 > entry")],
    ("log", "stat"): [("how many entries, and where they are", "oxidbm log stat events")],
    ("log", "truncate"): [("what all named readers have done", "oxidbm log truncate events"),
                          ("what is before an address", "oxidbm log truncate events 104")],
    ("log", "readers"): [("where each goes on", "oxidbm log readers events")],
    ("log", "forget-reader"): [("one that will not come again", "oxidbm log forget-reader events mailer")],
    ("log", "check"): [("is everything as it was written?", "oxidbm log check events")],
    ("log", "backup"): [("a copy, also while a program writes", "oxidbm log backup events /backups/events")],
    ("log", "salvage"): [("what is left of a damaged log", "oxidbm log salvage events saved")],
    ("queue", "stat"): [("how many wait, and for how long", "oxidbm queue stat mails")],
    ("queue", "peek"): [("the next three", "oxidbm queue peek mails -n 3")],
    ("queue", "check"): [("is everything as it was written?", "oxidbm queue check mails")],
    ("queue", "backup"): [("a copy, while it is worked with", "oxidbm queue backup mails /backups/mails")],
    ("queue", "salvage"): [("what is left of a damaged queue", "oxidbm queue salvage mails saved")],
}  # fmt: skip
