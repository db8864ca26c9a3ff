import { AppServerSpawnError } from "@effect-codex/core"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Binary from "../src/internal/binary.ts"

const windows = { platform: "win32", arch: "x64", env: {} } as const
const linux = { platform: "linux", arch: "x64", env: {} } as const

/** What npm, pnpm and yarn put before a launcher. */
const cmdShim = (launcher: string) =>
  `@ECHO off\r\nGOTO start\r\n:find_dp0\r\nSET dp0=%~dp0\r\nEXIT /b\r\n:start\r\nSETLOCAL\r\nCALL :find_dp0\r\n` +
  `endLocal & goto #_undefined_# 2>NUL || title %COMSPEC% & "%_prog%"  "%dp0%\\${launcher}" %*\r\n`
const pnpmCmdShim = (launcher: string) => `@SETLOCAL\r\n@node  "%~dp0\\${launcher}" %*\r\n`
const psShim = (launcher: string) =>
  "#!/usr/bin/env pwsh\n$basedir=Split-Path $MyInvocation.MyCommand.Definition -Parent\n" +
  `& "$basedir/node$exe"  "$basedir/${launcher}" $args\n`
const shShim = (launcher: string) =>
  `#!/bin/sh\nbasedir=$(dirname "$(echo "$0" | sed -e 's,\\\\,/,g')")\nexec node  "$basedir/${launcher}" "$@"\n`

/** An installed `@openai/codex` with both of its platform packages, as npm lays it out. */
const installed = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = yield* Effect.flatMap(fs.makeTempDirectoryScoped({ prefix: "npm-" }), fs.realPath)
  const write = (file: string, content: string) =>
    Effect.gen(function*() {
      const target = path.join(root, file)
      yield* fs.makeDirectory(path.dirname(target), { recursive: true })
      yield* fs.writeFileString(target, content, { mode: 0o755 })
      return target
    })
  const launcher = yield* write("node_modules/@openai/codex/bin/codex.js", "#!/usr/bin/env node\n")
  yield* write("node_modules/@openai/codex/package.json", `{ "name": "@openai/codex", "type": "module" }`)
  yield* write("node_modules/@openai/codex-win32-x64/package.json", "{}")
  yield* write("node_modules/@openai/codex-linux-x64/package.json", "{}")
  const exe = yield* write("node_modules/@openai/codex-win32-x64/vendor/x86_64-pc-windows-msvc/bin/codex.exe", "MZ")
  const elf = yield* write("node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex", "ELF")
  const link = (file: string) =>
    Effect.gen(function*() {
      const target = path.join(root, file)
      yield* fs.makeDirectory(path.dirname(target), { recursive: true })
      yield* fs.symlink(launcher, target)
      return target
    })
  return { root, write, link, launcher, exe, elf, join: path.join }
})

layer(NodeServices.layer)("the executable", (it) => {
  it.effect("behind npm's launchers is started directly", () =>
    Effect.gen(function*() {
      const { elf, exe, launcher, link, write } = yield* installed
      const global = "node_modules\\@openai\\codex\\bin\\codex.js"
      const local = "..\\@openai\\codex\\bin\\codex.js"
      const launchers = [
        [yield* write("codex.cmd", cmdShim(global)), windows, exe],
        [yield* write("codex.ps1", psShim("node_modules/@openai/codex/bin/codex.js")), windows, exe],
        [yield* write("codex", shShim("node_modules/@openai/codex/bin/codex.js")), windows, exe],
        [yield* write("node_modules/.bin/codex.CMD", pnpmCmdShim(local)), windows, exe],
        [yield* write("node_modules/.bin/codex.ps1", psShim("../@openai/codex/bin/codex.js")), windows, exe],
        [yield* write("node_modules/.bin/codex", shShim("../@openai/codex/bin/codex.js")), linux, elf],
        [yield* link("bin/codex"), linux, elf],
        [launcher, linux, elf],
        [launcher, windows, exe]
      ] as const
      for (const [path, host, expected] of launchers) {
        assert.strictEqual(yield* Binary.locate(path, host), expected, path)
      }
    }))

  it.effect("is looked for by its name as the shell does", () =>
    Effect.gen(function*() {
      const { elf, exe, join, link, root, write } = yield* installed
      yield* write("codex.cmd", cmdShim("node_modules\\@openai\\codex\\bin\\codex.js"))
      yield* link("bin/codex")
      const empty = join(root, "node_modules")
      assert.strictEqual(
        yield* Binary.locate("codex", { ...windows, env: { Path: `${empty};;${root}`, PATHEXT: ".EXE;.CMD" } }),
        exe
      )
      assert.strictEqual(yield* Binary.locate("codex.cmd", { ...windows, env: { PATH: root } }), exe)
      assert.strictEqual(yield* Binary.locate("codex", { ...linux, env: { PATH: `${empty}::${root}/bin` } }), elf)
      assert.strictEqual(yield* Binary.locate("codex", { ...linux, env: {} }), "codex")
    }))

  it.effect("that was named is started as it is where no launcher is known", () =>
    Effect.gen(function*() {
      const { root, write } = yield* installed
      const script = yield* write("own/codex", "#!/bin/sh\nexec something else\n")
      const native = yield* write("own/codex.exe", "MZ")
      for (const path of [script, native, `${root}/missing`, root]) {
        assert.strictEqual(yield* Binary.locate(path, linux), path)
      }
      assert.strictEqual(yield* Binary.locate(native, windows), native)
    }))

  it.effect("is not a script on Windows, which cannot start one without a shell", () =>
    Effect.gen(function*() {
      const { write } = yield* installed
      for (const name of ["own/codex.cmd", "own/codex.bat", "own/codex.ps1"]) {
        const path = yield* write(name, "@echo off\r\n")
        const error = yield* Effect.flip(Binary.locate(path, windows))
        assert.instanceOf(error, AppServerSpawnError)
        assert.deepStrictEqual([error.reason, error.executable], ["BinaryNotFound", path])
        assert.include(error.message, "codex.exe")
      }
    }))
})
