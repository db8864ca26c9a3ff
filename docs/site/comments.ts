/** Which public symbols say nothing of themselves. */
import { DeclarationReflection, type ProjectReflection, ReflectionKind } from "typedoc"

/** What one imports by name. */
const symbolKinds = ReflectionKind.Class | ReflectionKind.Interface | ReflectionKind.TypeAlias |
  ReflectionKind.Variable | ReflectionKind.Function | ReflectionKind.Namespace | ReflectionKind.Module

const commentsOf = (reflection: DeclarationReflection) =>
  [reflection.comment, reflection.getSignature?.comment, ...(reflection.signatures ?? []).map((_) => _.comment)]
    .filter((_) => _ !== undefined)

const isFromElsewhere = (reflection: DeclarationReflection): boolean =>
  reflection.parent?.name === "@effect-codex/core/types"

/**
 * The symbols that lack a doc comment or `@since`, and the members of interfaces and classes that lack a doc comment; a tag
 * tells nothing that the name of its type does not.
 */
export const undocumented = (project: ProjectReflection) => {
  const missing: Array<string> = []
  let symbols = 0
  for (const reflection of Object.values(project.reflections)) {
    if (!(reflection instanceof DeclarationReflection) || reflection.variant !== "declaration") continue
    const comments = commentsOf(reflection)
    const told = comments.some((comment) => comment.hasVisibleComponent())
    if (reflection.kindOf(symbolKinds)) {
      symbols++
      const since = comments.some((comment) => comment.getTag("@since") !== undefined)
      if (!told) missing.push(`${reflection.getFullName()}: no doc comment`)
      else if (!since && !isFromElsewhere(reflection)) missing.push(`${reflection.getFullName()}: no @since`)
    } else if (
      reflection.parent?.kindOf(ReflectionKind.Class | ReflectionKind.Interface) === true &&
      reflection.name !== "_tag" && !told
    ) {
      missing.push(`${reflection.getFullName()}: no doc comment`)
    }
  }
  return { missing, symbols }
}
