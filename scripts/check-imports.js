/*
 * The rooms of src/ and who may enter which. Imports go one way, folders and files make no cycle, and what is heavy is
 * loaded where it is used. Reads the sources with TypeScript's own parser.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** From the top down: a room imports from its own row and from those below. index.ts, the public face, is above all. */
const ROWS = [
  ['index'],
  ['cli'],
  ['supervise', 'control', 'prove'],
  ['hook', 'serve'],
  ['handoff', 'drain', 'listen', 'inspect'],
  ['bind'],
  ['kernel'],
  ['errors', 'address', 'inspection'],
];

/** The one room that may import a package; everything else is free of it. */
const PACKAGES = {
  koffi: ['kernel'],
  commander: ['cli'],
  chokidar: ['supervise'],
  ignore: ['supervise'],
  'prom-client': ['control'],
};

/**
 * @typedef {object} Import
 * @property {string} from file below src/
 * @property {string} to file below src/, or a package
 * @property {boolean} local
 * @property {boolean} typeOnly erased by the compiler
 * @property {boolean} lazy `import()`, or a name that `createRequire` or `new URL` resolves
 */

/** @param {string} src @returns {Import[]} */
function readImports(src) {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(file => /\.c?ts$/.test(file));
  return files.flatMap(file => {
    const source = ts.createSourceFile(file, readFileSync(join(src, file), 'utf8'), ts.ScriptTarget.Latest, true);
    return importsOf(source).map(found => {
      const local = found.to.startsWith('.');
      const to = local ? relative(src, join(src, dirname(file), found.to)) : packageOf(found.to);
      return { ...found, from: file, to, local };
    });
  });
}

/** @param {ts.SourceFile} source @returns {Pick<Import, 'to' | 'typeOnly' | 'lazy'>[]} */
function importsOf(source) {
  /** @type {Pick<Import, 'to' | 'typeOnly' | 'lazy'>[]} */
  const found = [];
  /** @param {ts.Node} node */
  const visit = node => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) {
      const typeOnly = ts.isExportDeclaration(node) ? node.isTypeOnly : isTypeOnly(node);
      found.push({ to: textOf(node.moduleSpecifier), typeOnly, lazy: false });
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      found.push({ to: textOf(node.argument.literal), typeOnly: true, lazy: false });
    } else if (ts.isCallExpression(node) && isLoader(node.expression) && node.arguments[0]) {
      const to = textOf(node.arguments[0]);
      if (to) found.push({ to, typeOnly: false, lazy: true });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** @param {ts.ImportDeclaration} node */
function isTypeOnly(node) {
  const clause = node.importClause;
  if (!clause) return false;
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  const names = clause.namedBindings;
  return !clause.name && !!names && ts.isNamedImports(names) && names.elements.every(name => name.isTypeOnly);
}

/** `import(…)`, `require(…)` and `createRequire(…)(…)`. @param {ts.Expression} callee */
function isLoader(callee) {
  if (callee.kind === ts.SyntaxKind.ImportKeyword) return true;
  const name = ts.isCallExpression(callee) ? callee.expression : callee;
  return ts.isIdentifier(name) && /^(require|createRequire)$/.test(name.text);
}

/** @param {ts.Node} node */
function textOf(node) {
  return ts.isStringLiteralLike(node) ? node.text : '';
}

/** @param {string} specifier */
function packageOf(specifier) {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

/** The room of a file: its first folder, or its own name. @param {string} file */
function roomOf(file) {
  return (file.split('/')[0] ?? '').replace(/\.c?ts$/, '');
}

/** @param {string} room */
function rowOf(room) {
  return ROWS.findIndex(row => row.includes(room));
}

/** @param {Import} item @returns {string | undefined} */
function wrongDirection({ from, to, local }) {
  const room = roomOf(from);
  if (!local) {
    const allowed = PACKAGES[/** @type {keyof typeof PACKAGES} */ (to)];
    return allowed && !allowed.includes(room) ? `${from} imports ${to}: only ${allowed} may` : undefined;
  }
  for (const unknown of [from, to].filter(file => rowOf(roomOf(file)) === -1)) {
    return `${unknown} is in no room that scripts/check-imports.js knows`;
  }
  return rowOf(roomOf(to)) < rowOf(room) ? `${from} imports ${to}: imports go down, not up` : undefined;
}

/**
 * The cycles of a graph, one for each strongly connected part, as paths.
 * @param {[string, string][]} edges
 */
function cycles(edges) {
  /** @type {Map<string, Set<string>>} */
  const graph = new Map();
  for (const [from, to] of edges) graph.set(from, (graph.get(from) ?? new Set()).add(to));
  /** @type {Map<string, 'open' | 'done'>} */
  const state = new Map();
  /** @type {string[]} */
  const found = [];
  /** @param {string} node @param {string[]} path */
  const visit = (node, path) => {
    if (state.get(node) === 'done') return;
    if (state.get(node) === 'open') {
      found.push([...path.slice(path.indexOf(node)), node].join(' → '));
      return;
    }
    state.set(node, 'open');
    for (const next of graph.get(node) ?? []) visit(next, [...path, node]);
    state.set(node, 'done');
  };
  for (const node of graph.keys()) visit(node, []);
  return found;
}

/** Packages that a plain `import` of the file loads at once, each with the file that does it. */
/** @param {Import[]} imports @param {string} entry */
function loadedBy(imports, entry) {
  const seen = new Set([entry]);
  /** @type {Import[]} */
  const packages = [];
  for (const file of seen) {
    for (const item of imports.filter(({ from, typeOnly, lazy }) => from === file && !typeOnly && !lazy)) {
      if (item.local) seen.add(item.to);
      else if (!item.to.startsWith('node:')) packages.push(item);
    }
  }
  return packages;
}

/** Every fault of the sources below `src`, a line each. @param {string} src */
export function checkImports(src) {
  const imports = readImports(src);
  const local = imports.filter(item => item.local);
  // A type may name a type of a file that uses it: only what is left at run time can be a cycle of files.
  const files = local
    .filter(item => !item.typeOnly)
    .map(({ from, to }) => /** @type {[string, string]} */ ([from, to]));
  const rooms = local
    .map(({ from, to }) => /** @type {[string, string]} */ ([roomOf(from), roomOf(to)]))
    .filter(([from, to]) => from !== to && !isBottom(from));
  return [
    ...imports.flatMap(item => wrongDirection(item) ?? []),
    ...cycles(files).map(path => `Files import each other: ${path}`),
    ...cycles(rooms).map(path => `Folders import each other: ${path}`),
    ...['index.ts', 'hook/index.ts'].flatMap(entry =>
      loadedBy(imports, entry).map(({ from, to }) => `${from} loads ${to} when ${entry} is imported: load it lazily`),
    ),
  ];
}

/** The three files of words are one room: their types name each other. @param {string} room */
function isBottom(room) {
  return rowOf(room) === ROWS.length - 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const faults = checkImports(join(dirname(dirname(fileURLToPath(import.meta.url))), 'src'));
  for (const fault of faults) process.stderr.write(`${fault}\n`);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
