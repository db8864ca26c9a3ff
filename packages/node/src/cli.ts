#!/usr/bin/env node
/** The executable `effect-codex`: an entry of its own, which nothing else of this package imports. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import { program } from "./cli/command.ts"
import { runMain } from "./cli/main.ts"

runMain(Effect.provide(program, NodeServices.layer))
