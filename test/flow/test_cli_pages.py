"""The manual page and the completions hold every command and option of the table that --help shows."""
import re
import shutil
import subprocess

import pytest
from host import BUILD, LIMIT_S

DROMIO = BUILD / "dromio"
MADE = BUILD / "cli" / "manual"


def say(*words):
    said = subprocess.run([str(DROMIO), *words], capture_output=True, text=True, timeout=LIMIT_S)
    assert said.returncode == 0, said
    return said.stdout


def options_in(text):
    """(letter, name) of each option of a help text: "  -o, --output FORMAT" or "  --tag NAME=VALUE"."""
    return {name for line in re.findall(r"^  ((?:-\w, )?-{1,2}[\w-]+)", text, re.M) for name in line.split(", ")}


def table():
    """{command: its own options}."""
    whole = say("--help")
    listed = whole[whole.index("Commands:"):whole.index("Options of every command")]
    names = re.findall(r"^  ([a-z][a-z-]*(?: [a-z][a-z-]*)?)(?=$| +[A-Z\[]|  )", listed, re.M)
    everywhere = options_in(whole)
    return {name: options_in(say(*name.split(), "--help")) - everywhere for name in names}, everywhere


TABLE, EVERYWHERE = table()


def test_the_table_is_read():
    assert {"twin put", "image push", "backup", "restore", "doctor", "top", "app add", "completion"} <= TABLE.keys() and len(TABLE) >= 33
    assert {"--host", "--token", "--output", "-o", "--help", "-h"} <= EVERYWHERE
    assert TABLE["restore"] == {"--data", "--dry-run", "--master-key"}


@pytest.mark.parametrize("command", TABLE)
def test_help_of_each_command_says_how_it_is_used(command):
    text = say(*command.split(), "--help")
    assert f"usage: dromio {command}" in text and "Examples:" in text


def test_the_manual_page_has_every_command_and_option():
    page = (MADE / "dromio.1").read_text().replace("\\-", "-").replace("\\fR", "").replace("\\fB", "").replace("\\&", "")
    heads = re.split(r'^\.SS "dromio ', page, flags=re.M)[1:]
    sections = {}
    for text in heads:
        head = text.split('"')[0]
        name = next(command for command in sorted(TABLE, key=len, reverse=True) if head == command or head.startswith(command + " "))
        sections[name] = text
    assert sections.keys() == TABLE.keys()
    for command, options in TABLE.items():
        assert options <= set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", sections[command])), command
    assert EVERYWHERE <= set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", page))


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not here")
def test_man_reads_the_page_without_a_complaint():
    read = subprocess.run(["man", "--warnings", "-l", "-Tutf8", str(MADE / "dromio.1")], capture_output=True, text=True, timeout=LIMIT_S,
                          env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
    assert read.returncode == 0 and read.stderr == "", read.stderr
    assert "dromio backup FILE" in re.sub(r".\b|\033\[\d*m", "", read.stdout) or "backup" in read.stdout


@pytest.mark.parametrize("shell, file", [("bash", "dromio"), ("zsh", "_dromio"), ("fish", "dromio.fish")])
def test_each_completion_has_every_command_and_option(shell, file):
    script = (MADE / file).read_text()
    assert script == say("completion", shell)
    for command, options in TABLE.items():
        for word in command.split():
            assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", script), (command, word)
        for option in options:
            written = f"-l {option[2:]} " if shell == "fish" and option.startswith("--") else f"-s {option[1:]} " if shell == "fish" else option
            assert written in script, (command, option)
    for option in EVERYWHERE:
        if option.startswith("--"):
            assert (f"-l {option[2:]}" if shell == "fish" else option) in script, option


@pytest.mark.parametrize("shell, file", [("bash", "dromio"), ("zsh", "_dromio"), ("fish", "dromio.fish")])
def test_each_completion_is_what_its_shell_can_read(shell, file):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not here")
    assert subprocess.run([program, "-n", str(MADE / file)], capture_output=True, timeout=LIMIT_S).returncode == 0


def complete(*words):
    """What bash offers for the last word."""
    script = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dromio; printf "%s\\n" "${COMPREPLY[@]}"'
    run = subprocess.run(["bash", "-c", script, str(MADE / "dromio"), "dromio", *words], capture_output=True, text=True, timeout=LIMIT_S)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_bash_completes_options_of_the_command_alone():
    assert complete("restore", "--d") == {"--data", "--dry-run"}
    assert complete("top", "--i") == {"--interval"}
    assert complete("doc") == {"doctor"}
    assert complete("status", "-o", "") == {"table", "json", "ndjson"}


def test_install_brings_all_of_it():
    plan = subprocess.run(["meson", "introspect", "--installed", str(BUILD)], capture_output=True, text=True, timeout=LIMIT_S)
    if plan.returncode != 0:
        pytest.skip("meson is not here")
    for place in ("man/man1/dromio.1", "bash-completion/completions/dromio", "zsh/site-functions/_dromio", "fish/vendor_completions.d/dromio.fish",
                  "systemd/system/dromiod.service"):
        assert place in plan.stdout, place
