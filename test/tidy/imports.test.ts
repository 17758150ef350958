/** What belongs in test/tidy: rules on the repository itself: who imports whom, what is pure, dependencies. No behaviour. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'

/**
 * Who may import whom. This table and docs/ARCHITECTURE.md, "Who may import whom", change in the same commit.
 * The keys of the inner lists are path prefixes below the repository; the longest key that fits a file is its rule.
 */
const ofEveryKind = [
  'core',
  'policies',
  'attest/anchors',
  'attest/caches',
  'attest/texts',
  'attest/every-kind',
  'attest/result',
  'attest/subject',
  'attest/trace',
]
const rules: Readonly<Record<string, readonly string[]>> = {
  'core/failure.ts': [],
  'core/assert.ts': [],
  'core/batches.ts': [],
  'core/recent.ts': [],
  'core/time.ts': ['core/assert'],
  'core/limits.ts': [],
  'core/shown.ts': [],
  'core/bytes': ['core/bytes', 'core/failure', 'core/assert', 'core/limits'],
  'core/encoding': ['core/encoding', 'core/bytes', 'core/failure', 'core/assert', 'core/limits', 'core/time'],
  'core/crypto': ['core/crypto', 'core/encoding', 'core/bytes', 'core/failure', 'core/assert', 'core/limits'],
  'core/x509': [
    'core/x509',
    'core/crypto',
    'core/encoding',
    'core/bytes',
    'core/failure',
    'core/assert',
    'core/limits',
    'core/time',
  ],
  'core/onnx': ['core/onnx', 'core/encoding', 'core/bytes', 'core/failure', 'core/assert', 'core/limits'],
  'core/sealed': [
    'core/sealed',
    'core/dsse',
    'core/crypto',
    'core/encoding',
    'core/bytes',
    'core/failure',
    'core/assert',
    'core/limits',
    'core/time',
  ],
  'core/tlog': [
    'core/tlog',
    'core/crypto',
    'core/encoding',
    'core/bytes',
    'core/failure',
    'core/assert',
    'core/limits',
    'core/time',
  ],
  'core/dsse': [
    'core/dsse',
    'core/crypto',
    'core/encoding',
    'core/bytes',
    'core/failure',
    'core/assert',
    'core/limits',
    'core/time',
  ],
  'core/jws': [
    'core/jws',
    'core/crypto',
    'core/encoding',
    'core/bytes',
    'core/failure',
    'core/assert',
    'core/limits',
    'core/time',
  ],
  'core/sd-jwt': [
    'core/sd-jwt',
    'core/jws',
    'core/crypto',
    'core/encoding',
    'core/bytes',
    'core/failure',
    'core/limits',
    'core/time',
  ],
  'core/cose': [
    'core/cose',
    'core/crypto',
    'core/encoding',
    'core/bytes',
    'core/failure',
    'core/assert',
    'core/limits',
  ],
  'core/wire': ['core'],
  policies: ['core', 'policies'],
  attest: ['core', 'policies', 'attest'],
  'attest/snp': [...ofEveryKind, 'attest/snp'],
  'attest/dcap': [...ofEveryKind, 'attest/dcap'],
  'attest/tdx': [...ofEveryKind, 'attest/dcap', 'attest/tdx'],
  'attest/sgx': [...ofEveryKind, 'attest/dcap', 'attest/sgx'],
  'attest/nitro': [...ofEveryKind, 'attest/nitro'],
  'attest/gpu': [...ofEveryKind, 'attest/gpu'],
  'attest/azure': [...ofEveryKind, 'attest/snp', 'attest/tdx', 'attest/azure'],
  'attest/service': ['core', 'policies', 'attest', 'host'],
  'attest/collateral': ['core', 'policies', 'attest', 'host'],
  keybroker: ['core', 'policies', 'keybroker'],
  'keybroker/store': ['core', 'policies', 'keybroker', 'host'],
  'keybroker/kek': ['core', 'keybroker', 'host'],
  'keybroker/service': ['core', 'policies', 'keybroker', 'host'],
  runtime: ['core', 'runtime'],
  'runtime/attester/simulated': ['core', 'runtime', 'attest/snp/layout'],
  'runtime/service': ['core', 'runtime', 'host'],
  transparency: ['core', 'transparency'],
  'transparency/storage': ['core', 'transparency', 'host'],
  'transparency/service': ['core', 'transparency', 'host'],
  'transparency/witness/service': ['core', 'transparency', 'host'],
  'transparency/witness/store': ['core', 'transparency', 'host'],
  convert: ['core', 'convert'],
  'convert/keys': ['core', 'convert', 'host'],
  'convert/seal': ['core', 'convert', 'host'],
  'convert/unseal': ['core', 'convert', 'host'],
  'convert/model': ['core', 'convert', 'host'],
  client: ['core', 'policies', 'client', 'attest'],
  'client/proxy': ['core', 'policies', 'client', 'attest', 'host'],
  landmark: ['core', 'policies/location', 'landmark', 'host'],
  console: ['core', 'policies', 'client', 'attest', 'console'],
  'console/service': ['core', 'policies', 'client', 'attest', 'console', 'host'],
  host: ['core', 'host'],
  cli: [
    'core',
    'policies',
    'attest',
    'keybroker',
    'runtime',
    'transparency',
    'landmark',
    'convert',
    'client',
    'console',
    'host',
    'cli',
  ],
  test: [
    'core',
    'policies',
    'attest',
    'keybroker',
    'runtime',
    'transparency',
    'landmark',
    'convert',
    'client',
    'console',
    'host',
    'cli',
    'test',
  ],
}

/** Folders and files that do I/O. Everything else in the product is pure: no clock, network, disk, environment. */
const edges = [
  'host',
  'landmark',
  'runtime/landmark',
  'cli',
  'policies/library',
  'policies/registry/shipped',
  'policies/location/atlas',
  'attest/service',
  'attest/collateral',
  'keybroker/store',
  'keybroker/service',
  'keybroker/kek',
  'runtime/attester',
  'runtime/engine',
  'runtime/service',
  'convert/seal',
  'convert/unseal',
  'convert/keys',
  'convert/model',
  'client/proxy',
  'console/service',
  'console/islands',
  'transparency/storage',
  'transparency/service',
  'transparency/witness/service',
  'transparency/witness/store',
  'core/crypto/backend.node',
  'core/crypto/backend.node.segments.ts',
  'core/crypto/backend.browser.ts',
]
/** Edges of attest: the pure files of `client`, and all of `console`, use its pure parts alone. */
const impureOfAttest = ['attest/service', 'attest/collateral']

const root = join(dirname(new URL(import.meta.url).pathname), '../..')
const product = [
  'core',
  'policies',
  'attest',
  'keybroker',
  'runtime',
  'transparency',
  'landmark',
  'convert',
  'client',
  'console',
  'host',
  'cli',
]

function filesBelow(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    if (name === 'node_modules' || name === 'dist') return []
    if (statSync(path).isDirectory()) return filesBelow(path)
    return /\.tsx?$/.test(path) ? [relative(root, path)] : []
  })
}
function existing(folder: string): string[] {
  try {
    return filesBelow(join(root, folder))
  } catch {
    return []
  }
}

const importLine = /(?:from|import)\s*\(?\s*'([^']+)'/g

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(importLine)].map((found) => found[1]!)
}

/** `core/bytes/bytes.ts` for `#core/bytes/bytes.js`; undefined for a package. */
function inRepository(file: string, specifier: string): string | undefined {
  if (specifier === '#crypto-backend') return 'core/crypto/backend.ts'
  if (specifier === '#spelling') return 'core/bytes/spelling.ts'
  if (specifier.startsWith('#console/pages/')) return specifier.slice(1).replace(/\.js$/, '.tsx')
  if (specifier.startsWith('#')) return specifier.slice(1).replace(/\.js$/, '.ts')
  if (specifier.startsWith('.')) return join(dirname(file), specifier).replace(/\.js$/, '.ts')
  return undefined
}

function below(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`) || path.startsWith(`${prefix}.`)
}

function ruleOf(file: string): readonly string[] | undefined {
  const keys = Object.keys(rules).filter((key) => below(file, key))
  keys.sort((a, b) => b.length - a.length)
  return keys[0] === undefined ? undefined : rules[keys[0]]
}

/** A place where parts are joined may import anything but test and deploy. */
function isJoiningPlace(file: string): boolean {
  return file.startsWith('cli/') || file.endsWith('/service/main.ts')
}

const files = [...product, 'test'].flatMap(existing)
const edgesOf = (file: string) => edges.some((edge) => below(file, edge))

describe('tidy: imports', () => {
  test('every file stands in a folder of the table', () => {
    expect(files.filter((file) => ruleOf(file) === undefined)).toEqual([])
    expect(files.length).toBeGreaterThan(15)
  })

  test('no file imports what the table forbids', () => {
    const wrong = files.flatMap((file) =>
      importsOf(file).flatMap((specifier) => {
        const target = inRepository(file, specifier)
        if (target === undefined) return []
        if (isJoiningPlace(file) && !target.startsWith('test/')) return []
        const allowed = ruleOf(file) ?? []
        const isPureOnly = file.startsWith('console/') || (file.startsWith('client/') && !edgesOf(file))
        if (isPureOnly && impureOfAttest.some((edge) => below(target, edge))) return [`${file} -> ${target}`]
        return allowed.some((prefix) => below(target, prefix)) ? [] : [`${file} -> ${target}`]
      }),
    )
    expect(wrong).toEqual([])
  })

  test('pure code imports no edge', () => {
    const wrong = files
      .filter((file) => !file.startsWith('test/') && !edgesOf(file) && !isJoiningPlace(file))
      .flatMap((file) =>
        importsOf(file).flatMap((specifier) => {
          const target = inRepository(file, specifier)
          return target !== undefined && specifier !== '#crypto-backend' && edgesOf(target)
            ? [`${file} -> ${target}`]
            : []
        }),
      )
    expect(wrong).toEqual([])
  })

  // How the engine is compiled is no input of what it computes (docs/decisions/cedar-calls.md).
  const exempt = new Set(["policies/language/cedar.ts: import { setFlagsFromString } from 'node:v8'"])
  test('pure code reads no clock, network, disk or environment', () => {
    const ambient =
      /\bDate\.now\b|\bnew Date\(\)|\bprocess\.|\bMath\.random\b|(?<![.\w])fetch\(|'node:(?!test)[a-z_/]+'|\bconsole\./
    const wrong = files
      .filter((file) => !file.startsWith('test/') && !edgesOf(file) && !isJoiningPlace(file))
      .flatMap((file) =>
        readFileSync(join(root, file), 'utf8')
          .split('\n')
          .flatMap((line, i) =>
            ambient.test(line) && !/^\s*(\*|\/\/)/.test(line) && !exempt.has(`${file}: ${line.trim()}`)
              ? [`${file}:${i + 1}: ${line.trim()}`]
              : [],
          ),
      )
    expect(wrong).toEqual([])
  })

  test('no cycles', () => {
    const graph = new Map(
      files.map((file) => [
        file,
        importsOf(file)
          .flatMap((one) => inRepository(file, one) ?? [])
          .filter((one) => files.includes(one)),
      ]),
    )
    const state = new Map<string, 'open' | 'done'>()
    const cycles: string[] = []
    const visit = (file: string, path: readonly string[]): void => {
      if (state.get(file) === 'done') return
      if (state.get(file) === 'open') {
        cycles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
        return
      }
      state.set(file, 'open')
      for (const next of graph.get(file) ?? []) visit(next, [...path, file])
      state.set(file, 'done')
    }
    for (const file of files) visit(file, [])
    expect(cycles).toEqual([])
  })

  test('the minter of simulated evidence is reached by joining places and tests only', () => {
    const wrong = files
      .filter((file) => !file.startsWith('test/') && !file.startsWith('runtime/attester/simulated/'))
      .filter((file) => importsOf(file).some((one) => one.includes('attester/simulated')))
      .filter((file) => !file.startsWith('cli/'))
    expect(wrong).toEqual([])
  })

  test('a kind of evidence knows no other; what TDX and SGX share knows neither', () => {
    const kinds = ['snp', 'tdx', 'sgx', 'dcap', 'nitro', 'cca', 'gpu']
    const wrong = files.flatMap((file) => {
      const own = kinds.find((kind) => below(file, `attest/${kind}`))
      if (own === undefined) return []
      const others = kinds.filter((kind) => kind !== own && !(kind === 'dcap' && ['tdx', 'sgx'].includes(own)))
      return importsOf(file)
        .filter((one) => others.some((kind) => one.startsWith(`#attest/${kind}/`)))
        .map((one) => `${file} -> ${one}`)
    })
    expect(wrong).toEqual([])
  })

  test('node-forge reads PKCS #12 bundles, in one file, and is used for nothing else', () => {
    const importers = files.filter((file) => importsOf(file).some((one) => one.startsWith('node-forge')))
    expect(importers.toSorted()).toEqual(['host/pkcs12.ts', 'test/host/pkcs12.test.ts'])
    // Whoever has no such bundle does not load it.
    const above = files.filter((file) => importsOf(file).includes('#host/pkcs12.js') && !file.startsWith('test/'))
    expect(above.map((file) => [file, /import\([^)]*pkcs12/.test(readFileSync(join(root, file), 'utf8'))])).toEqual([
      ['cli/rim-options.ts', true],
    ])
  })

  test('the other verifier of DCAP quotes is a second opinion for tests and a peer for the bench, and nothing else', () => {
    const importers = files.filter((file) => importsOf(file).some((one) => one.startsWith('@phala/')))
    expect(importers.filter((file) => !/^test\/(interop|bench)\//.test(file))).toEqual([])
    expect(importers.length).toBeGreaterThan(0)
  })
})
