import { defineConfig } from "vitest/config"

export default defineConfig({
  ssr: { resolve: { conditions: ["@effect-codex/source"] } },
  resolve: { conditions: ["@effect-codex/source"] },
  test: {
    include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts", "examples/*.test.ts"],
    // What the app-server logs says something where a test fails, and only there.
    silent: "passed-only",
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000
  }
})
