import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import { parse, segments, startsWith } from "../src/internal/shellWords.ts"

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** What bash makes of the words of a line, when the line is the arguments of one command. */
const bashWords = (line: string): ReadonlyArray<string> => {
  const { status, stdout } = spawnSync("/bin/bash", ["-c", `printf '%s\\0' ${line}`], {
    encoding: "utf8",
    env: { LC_ALL: "C.UTF-8", PATH: "/nonexistent" },
    timeout: 10_000
  })
  return status === 0 ? stdout.split("\0").slice(0, -1) : [`bash ended with ${status}`]
}

/** Everything that means something to a shell somewhere, and a few words that mean nothing. */
const plain = [
  "git",
  "status",
  "-x",
  "a=b",
  " ",
  " ",
  "\t",
  "'",
  "''",
  "'a b'",
  "\"",
  "\"a b\"",
  "\\",
  "\\\\",
  "é",
  "😀"
] as const

const special = [
  "$",
  "`",
  "$(",
  ")",
  "(",
  "${IFS}",
  "$'\\n'",
  ";",
  "&",
  "&&",
  "|",
  "||",
  "<",
  ">",
  ">>",
  "<<<",
  "2>&1",
  "{",
  "}",
  "{a,b}",
  "*",
  "?",
  "[a]",
  "#",
  "!",
  "~",
  "^",
  "%",
  "@",
  ":",
  "=",
  "\n",
  "\r",
  "\u0000",
  "\u000b",
  "\u00a0",
  "\u2003",
  "\u2028",
  "\ufeff"
] as const

/** Lines of words and quotes, with something in between that may mean something to a shell. */
const Lines = Schema.Array(Schema.Union([
  Schema.Literals(plain),
  Schema.Literals(plain),
  Schema.Literals(plain),
  Schema.Literals(plain),
  Schema.Literals(special)
])).check(Schema.isMaxLength(10))

describe("a line accepted by prefix", () => {
  it("is a plain command, however its words are quoted", () => {
    const lines: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
      ["git status", ["git", "status"]],
      ["  git\t status  ", ["git", "status"]],
      ["git commit -m 'a; b && c | d > e $(f) `g`'", ["git", "commit", "-m", "a; b && c | d > e $(f) `g`"]],
      ["git log --format=\"%h; %s\"", ["git", "log", "--format=%h; %s"]],
      ["git log a\\;b", ["git", "log", "a;b"]],
      ["git 'st'\"at\"us", ["git", "status"]],
      ["git ''", ["git", ""]],
      ["git \"a\\\"b\\$c\\\\d\\e\"", ["git", "a\"b$c\\d\\e"]],
      ["git a=b", ["git", "a=b"]]
    ]
    for (const [line, words] of lines) {
      assert.deepStrictEqual(parse(line), words, line)
      assert.deepStrictEqual(bashWords(line), words, line)
    }
  })

  it("may be wrapped in a shell, once or more often", () => {
    for (const shell of ["bash", "sh", "zsh", "/bin/bash", "/usr/bin/zsh", "/bin/sh", "/usr/local/bin/bash"]) {
      for (const flag of ["-c", "-lc"]) {
        assert.deepStrictEqual(parse(`${shell} ${flag} 'git status'`), ["git", "status"])
        assert.deepStrictEqual(parse(`${shell} ${flag} ${quote(`sh -c ${quote("git status")}`)}`), ["git", "status"])
      }
    }
  })

  const refused: ReadonlyArray<string> = [
    "git status; rm x",
    "git status;rm x",
    "git status && rm x",
    "git status || rm x",
    "git status | sh",
    "git status --help | sh",
    "git status & rm x",
    "git status &",
    "git status\nrm x",
    "git status\r\nrm x",
    "git status\rrm x",
    "git status\u0000",
    "git status 'a\u0000b'",
    "git status\u000brm",
    "git status\u00a0rm",
    "git\u2003status",
    "git status\u2028rm x",
    "git status \\\nrm x",
    "git status \\",
    "git status > /etc/passwd",
    "git status >> x",
    "git status < x",
    "git status 2>&1",
    "git status $(rm x)",
    "git status \"$(rm x)\"",
    "git status `rm x`",
    "git status \"`rm x`\"",
    "git status $HOME",
    "git status \"${HOME}\"",
    "git status $'a'",
    "git status <(rm x)",
    "git status *",
    "git status ?",
    "git status [ab]",
    "git status {a,b}",
    "git status ~",
    "git status # rm x",
    "git status !x",
    "(git status)",
    "{ git status; }",
    "! git status",
    "git status 'unended",
    "git status \"unended",
    "PATH=/tmp git status",
    "GIT_PAGER='rm x' git status",
    "A+=1 git status",
    "'A=1' git status",
    // A shell that is given more than a script, or is no shell of the system's.
    "bash -lc 'git status; rm x'",
    "bash -lc 'git status' rm",
    "bash -lc",
    "bash -c -x 'git status'",
    "bash -x -c 'git status'",
    "bash -ic 'git status'",
    "bash git status",
    "bash -lc \"git status $(rm x)\"",
    "bash -lc 'bash -c \"git status; rm x\"'",
    "bash -lc 'PATH=/tmp git status'",
    "bash -lc 'git status\nrm x'",
    "bash -lc $'git status'",
    "env git status",
    "sudo git status",
    "exec git status",
    "/tmp/git status",
    "./git status",
    "git\\ status",
    "'git status'",
    "./bash -lc 'git status'",
    "/tmp/bash -lc 'git status'",
    "bin/bash -lc 'git status'",
    "/project/bin/bash -lc 'git status'",
    "../bin/sh -c 'git status'",
    "bash.exe -lc 'git status'",
    "fish -c 'git status'",
    "powershell -Command 'git status'",
    ""
  ]
  it.each(refused)("is none of: %j", (line) => {
    const words = parse(line)
    assert.isFalse(words !== undefined && startsWith(words, ["git", "status"]), JSON.stringify(words))
  })

  it("begins with every word of the prefix, each of them whole", () => {
    assert.isTrue(startsWith(["git", "status", "-s"], ["git", "status"]))
    assert.isTrue(startsWith(["git"], ["git"]))
    assert.isFalse(startsWith(["git", "stat"], ["git", "status"]))
    assert.isFalse(startsWith(["git", "status2"], ["git", "status"]))
    assert.isFalse(startsWith(["git"], ["git", "status"]))
    assert.isFalse(startsWith(["git"], []))
  })

  it.prop(
    "is to bash the very words that it was read as",
    [Lines],
    ([pieces]) => {
      const line = pieces.join("")
      const words = parse(`git ${line}`)
      if (words === undefined) return
      assert.deepStrictEqual(bashWords(`git ${line}`), words, JSON.stringify(line))
      // The first word is the program: nothing was assigned before it.
      const alone = parse(line)
      if (alone?.[0] !== undefined) assert.notInclude(alone[0], "=")
    },
    { arbitrary: { runs: 1_500 } }
  )

  it.prop(
    "is the same words wrapped in a shell, and none where it is none without",
    [Lines],
    ([pieces]) => {
      const line = pieces.join("")
      assert.deepStrictEqual(parse(`/bin/bash -lc ${quote(line)}`), parse(line))
      assert.isUndefined(parse(`/bin/bash -lc ${quote(line)} more`))
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "holds nothing outside of quotes that a shell looks at",
    [Schema.Array(Schema.Literals(["git", "status", "a b", "x"])), Schema.Literals([..."$`;&|<>(){}*?[]#!~\n\r\0"])],
    ([words, special]) => {
      assert.isUndefined(parse(`git ${words.map(quote).join(" ")}${special}`))
      assert.isUndefined(parse(`git ${special}${words.map(quote).join(" ")}`))
    }
  )
})

describe("the commands of a line, to decline by", () => {
  const declined = (line: string): boolean => segments(line).some((words) => startsWith(words, ["rm", "-rf"]))

  it.each([
    "rm -rf /",
    "  rm  -rf /",
    "git status; rm -rf /",
    "git status && rm -rf /",
    "true || rm -rf /",
    "true | rm -rf /",
    "true & rm -rf /",
    "true\nrm -rf /",
    "(rm -rf /)",
    "{ rm -rf /; }",
    "echo $(rm -rf /)",
    "echo \"$(rm -rf /)\"",
    "echo `rm -rf /`",
    "cat <(rm -rf /)",
    "A=1 rm -rf /",
    "! rm -rf /",
    "if true; then rm -rf /; fi",
    "for x in 1; do rm -rf /; done",
    "'rm' \"-rf\" /",
    "r\\m -rf /",
    "rm -rf $HOME",
    "bash -c 'rm -rf /'",
    "/bin/bash -lc 'rm -rf /'",
    "/tmp/bash -lc 'rm -rf /'",
    "bash -x -c 'rm -rf /' more",
    "bash -lc \"rm -rf $HOME\"",
    "bash -lc 'sh -c \"rm -rf /\"'",
    "bash -lc 'git status\nrm -rf /'"
  ])("has it in: %j", (line) => assert.isTrue(declined(line), JSON.stringify(segments(line))))

  it.each([
    "git status",
    "rm",
    "rm file",
    "bash -lc 'git status'",
    "echo rm -rf",
    "bash"
  ])("has it not in: %j", (line) => assert.isFalse(declined(line), JSON.stringify(segments(line))))
})
