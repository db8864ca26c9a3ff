/** The reference: what the packages' entries export, as TypeDoc reads it from their sources. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import {
  Application,
  Comment,
  CommentTag,
  type Context,
  Converter,
  DeclarationReflection,
  Logger,
  LogLevel,
  MinimalSourceFile,
  normalizePath,
  type ProjectReflection,
  ReferenceType,
  type Reflection,
  ReflectionKind,
  ReflectionType
} from "typedoc"
import ts from "typescript"
import type { Staged } from "./stage.ts"

export class ReferenceFailed extends Schema.TaggedError<ReferenceFailed>()("ReferenceFailed", {
  cause: Schema.Defect()
}) {}

/** What TypeDoc has read. */
export interface Reference {
  readonly app: Application
  readonly project: ProjectReflection
  /** What it found wrong until now. */
  readonly warnings: () => ReadonlyArray<string>
}

const decodeManifest = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Struct({
  name: Schema.String,
  exports: Schema.Record(
    Schema.String,
    Schema.Union([Schema.String, Schema.Struct({ "@effect-codex/source": Schema.String })])
  )
})))

/** The entries of the packages, by the specifier that one imports. The models of the protocol are in `core/types`. */
const entriesOf = Effect.fn("entriesOf")(function*(root: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const entries = new Map<string, string>()
  for (const folder of ["packages/core", "packages/node"]) {
    const { exports, name } = yield* decodeManifest(yield* fs.readFileString(path.join(root, folder, "package.json")))
    for (const [subpath, target] of Object.entries(exports)) {
      if (typeof target === "string") continue
      entries.set(path.join(root, folder, target["@effect-codex/source"]), path.join(name, subpath))
    }
  }
  return entries
})

const attempt = <A>(run: () => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: (cause) => new ReferenceFailed({ cause }) })

/** Reads the sources and the pages. */
export const convert = Effect.fn("convert")(function*(root: string, { documents, readme }: Staged) {
  const path = yield* Path.Path
  const entries = yield* entriesOf(root)
  const app = yield* attempt(() =>
    Application.bootstrap({
      name: "effect-codex",
      tsconfig: path.join(import.meta.dirname, "tsconfig.json"),
      entryPoints: [...entries.keys()],
      readme,
      projectDocuments: [...documents],
      basePath: path.dirname(readme),
      excludeExternals: true,
      excludePrivate: true,
      excludeInternal: true,
      disableSources: true,
      logLevel: LogLevel.Warn,
      validation: {
        notExported: true,
        invalidLink: true,
        invalidPath: true,
        rewrittenLink: true,
        notDocumented: false
      },
      router: "structure",
      customCss: path.join(import.meta.dirname, "style.css"),
      headings: { readme: false, document: false },
      categorizeByGroup: false,
      categoryOrder: ["services", "layers", "modules", "constructors", "models", "*", "errors"],
      defaultCategory: "models",
      navigation: { includeCategories: true, includeGroups: false, includeFolders: false },
      sortEntryPoints: false,
      searchInDocuments: true,
      searchInComments: true,
      highlightLanguages: ["ts", "sh", "console", "json", "toml", "python", "js"],
      hideGenerator: true,
      includeHierarchySummary: false,
      githubPages: true
    })
  )
  const logger = new Warnings()
  app.logger = logger
  nameModules(app, entries)
  tellOfModules(app)
  forgetValuesOfTypeNamespaces(app)
  liftServices(app)
  const project = yield* attempt(() => app.convert())
  if (project === undefined) return yield* new ReferenceFailed({ cause: logger.all.join("\n") })
  app.validate(project)
  return { app, project, warnings: () => logger.all } satisfies Reference
})

/** Writes the site. */
export const write = ({ app, project }: Reference, out: string) => attempt(() => app.generateDocs(project, out))

/** Keeps what TypeDoc would print. */
class Warnings extends Logger {
  readonly all: Array<string> = []

  override log(message: string, level: LogLevel): void {
    super.log(message, level)
    if (level >= LogLevel.Warn) this.all.push(message)
  }
}

/** The source files of a reflection's symbol. */
const sourcesOf = (context: Context, reflection: Reflection): ReadonlyArray<ts.SourceFile> =>
  context.getSymbolFromReflection(reflection)?.declarations?.filter(ts.isSourceFile) ?? []

/** Modules are named as one imports them. */
const nameModules = (app: Application, entries: ReadonlyMap<string, string>) => {
  app.converter.on(Converter.EVENT_CREATE_DECLARATION, (context, reflection) => {
    if (!reflection.kindOf(ReflectionKind.Module)) return
    const name = sourcesOf(context, reflection).map((source) => entries.get(source.fileName)).find((_) =>
      _ !== undefined
    )
    if (name !== undefined) reflection.name = name
  })
}

const typeNamespace = (statement: ts.Statement): ReadonlyArray<string> =>
  ts.isExportDeclaration(statement) && statement.isTypeOnly && statement.exportClause !== undefined &&
    ts.isNamespaceExport(statement.exportClause)
    ? [statement.exportClause.name.text]
    : []

const beginning = /^\/\*\*([^]*?)\*\//

/** A module is told of in the comment that its file begins with. */
const tellOfModules = (app: Application) => {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, (context) => {
    for (const reflection of context.project.getReflectionsByKind(ReflectionKind.SomeModule)) {
      for (const { fileName, statements, text } of sourcesOf(context, reflection)) {
        const [, head] = beginning.exec(text) ?? []
        const [first] = statements
        if (head === undefined || first === undefined) continue
        const isDeclaration = !ts.isImportDeclaration(first) && !ts.isExportDeclaration(first)
        // Then it is the comment of that declaration.
        if (isDeclaration && ts.getLeadingCommentRanges(text, first.pos)?.length === 1) continue
        const [markdown = "", since] = head.replaceAll(/^ *\* ?/gm, "").split(/^@since /m)
        const source = new MinimalSourceFile(markdown.trim(), normalizePath(fileName))
        const { content } = app.converter.parseRawComment(source, context.project.files)
        const tags = since === undefined ? [] : [new CommentTag("@since", [{ kind: "text", text: since.trim() }])]
        // A namespace is found among the modules; a module of the project, by its name.
        if (reflection.kindOf(ReflectionKind.Namespace)) {
          tags.push(new CommentTag("@category", [{ kind: "text", text: "modules" }]))
        }
        reflection.comment = new Comment(content, tags)
      }
    }
  })
}

/** `export type * as X` gives the types of a module alone, so its values are no part of the reference. */
const forgetValuesOfTypeNamespaces = (app: Application) => {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, (context) => {
    for (const module of context.project.getChildrenByKind(ReflectionKind.Module)) {
      const names = sourcesOf(context, module).flatMap((source) => source.statements.flatMap(typeNamespace))
      for (const namespace of module.getChildrenByKind(ReflectionKind.Namespace)) {
        if (!names.includes(namespace.name)) continue
        const values = ReflectionKind.Variable | ReflectionKind.Function | ReflectionKind.Class
        for (const child of namespace.getChildrenByKind(values)) context.project.removeReflection(child)
      }
    }
  })
}

/** What every error has. */
const untold: ReadonlySet<string> = new Set(["message", "toJSON"])

/**
 * A service is a class whose base has the service's shape in a type argument: what one may do with the service is lifted
 * from there. Nobody constructs a service or reads the base of an error, so both are left out.
 */
const liftServices = (app: Application) => {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, (context) => {
    for (const reflection of context.project.getReflectionsByKind(ReflectionKind.Class)) {
      if (!(reflection instanceof DeclarationReflection)) continue
      for (const child of reflection.children?.slice() ?? []) {
        const isUntold = child.kindOf(ReflectionKind.Constructor) || untold.has(child.name)
        if (isUntold) context.project.removeReflection(child)
        if (child.inheritedFrom === undefined) continue
        delete child.inheritedFrom
        // The Schema of a field is no value that it has.
        delete child.defaultValue
      }
      for (const base of reflection.extendedTypes ?? []) {
        const shape = base instanceof ReferenceType ? base.typeArguments?.at(1) : undefined
        if (shape instanceof ReflectionType) {
          for (const member of shape.declaration.children ?? []) {
            member.parent = reflection
            reflection.addChild(member)
          }
          delete shape.declaration.children
        }
        context.project.removeTypeReflections(base)
      }
      delete reflection.extendedTypes
    }
  })
}
