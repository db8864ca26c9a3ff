/** The responses that load a thread, as the server writes them. */

export const threadResponse = (id: string) => ({
  thread: {
    id,
    sessionId: id,
    projectId: null,
    preview: "",
    ephemeral: false,
    modelProvider: "mock",
    createdAt: 1_795_243_250,
    updatedAt: 1_795_243_250,
    status: { type: "idle" },
    path: null,
    cwd: "/work",
    cliVersion: "0.169.0",
    source: "vscode",
    turns: []
  },
  model: "mock-model",
  modelProvider: "mock",
  serviceTier: null,
  cwd: "/work",
  approvalPolicy: "on-request",
  approvalsReviewer: "user",
  sandbox: { type: "readOnly" },
  reasoningEffort: null
})
