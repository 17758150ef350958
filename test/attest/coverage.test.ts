import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { catalogue } from '#attest/steps.js'
import type { TracedStep } from '#attest/trace.js'
import { runCase } from '#attest/vectors/run.js'
import type { PartEvidence } from '#core/wire/evidence.js'

/** Every minted case with the trace of each of its parts: what they refuse, and whether they say why. */
const vectors = join(import.meta.dirname, '../vectors')
const folders = ['snp', 'tdx', 'sgx', 'nitro', 'cca', 'gpu', 'azure', 'composite']

/** Steps that no evidence of a kind can fail, each with the reason. */
const neverFail: Readonly<Partial<Record<PartEvidence['kind'], Readonly<Record<string, string>>>>> = {
  snp: { 'memory-encryption': 'made of hardware alone: minted evidence is none, and `debug` refuses first' },
  tdx: {
    'memory-encryption': 'made of hardware alone: minted evidence is none, and `debug` refuses first',
    'tdx/tcb': 'finds a level or none: the appraisal refuses, by `tcb-status` and `tcb-not-supported`',
  },
  sgx: {
    'memory-encryption': 'made of hardware alone: minted evidence is none, and `debug` refuses first',
    'sgx/tcb': 'finds a level or none: the appraisal refuses, by `tcb-status` and `tcb-not-supported`',
  },
  gpu: { 'gpu/golden': 'compares: the appraisal refuses, by `golden-values`' },
  'azure-snp': { 'memory-encryption': 'made of hardware alone: minted evidence is none, and `debug` refuses first' },
  'azure-tdx': {
    'memory-encryption': 'made of hardware alone: minted evidence is none, and `debug` refuses first',
    'tdx/tcb': 'finds a level or none: the appraisal refuses, by `tcb-status` and `tcb-not-supported`',
  },
}

interface Shown {
  readonly name: string
  readonly kind: PartEvidence['kind']
  readonly code: string | null
  readonly steps: readonly TracedStep[]
}
const shown: Shown[] = []

function readIn(folder: string): (name: string) => Uint8Array | undefined {
  return (name) => (existsSync(join(folder, name)) ? new Uint8Array(readFileSync(join(folder, name))) : undefined)
}

beforeAll(async () => {
  for (const folder of folders)
    for (const entry of readdirSync(join(vectors, folder), { withFileTypes: true })) {
      if (!entry.isDirectory()) continue
      const at = join(vectors, folder, entry.name)
      const report = await runCase(`${folder}/${entry.name}`, readIn(at)('case.json')!, readIn(at), new Map())
      if (report.kind !== 'run') throw new Error(`${at}: ${report.reason}`)
      for (const { name, judged } of report.lines)
        for (const { kind, steps } of judged?.parts ?? []) shown.push({ name, kind, code: judged!.code, steps })
    }
}, 60_000)

describe('minted cases', () => {
  test.each(Object.entries(catalogue))(
    '%s: every step fails, and every comparison is the first to refuse, in a case of this very kind',
    (kind, all) => {
      const own = shown.filter((one) => one.kind === kind)
      const failing = new Set(
        own.flatMap(({ steps }) => steps.filter(({ verdict }) => verdict === 'fail')).map(({ id }) => id),
      )
      const refusing = new Set(own.map(({ code }) => code?.replace(/^devices\//, '')))
      const missing = [
        ...all.steps.filter(({ id }) => !failing.has(id)),
        ...all.checks.filter(({ id }) => !failing.has(id) || !refusing.has(id)),
      ]
      const excused = Object.keys(neverFail[kind as PartEvidence['kind']] ?? {})
      expect(missing.map(({ id }) => id).sort()).toEqual(excused.sort())
    },
  )

  test('every step says what was expected and what was found, whether it passed, failed or was skipped', () => {
    const silent = shown.flatMap(({ name, steps }) =>
      steps
        .filter(({ expected, found }) => expected.trim() === '' || found.trim() === '')
        .map(({ id, verdict }) => `${name}: ${id}, ${verdict}`),
    )
    expect(shown.length).toBeGreaterThan(600)
    expect(silent).toEqual([])
  })

  test('every step that failed says what can be done', () => {
    const helpless = shown.flatMap(({ name, steps }) =>
      steps.filter(({ verdict, hint }) => verdict === 'fail' && hint === '').map(({ id }) => `${name}: ${id}`),
    )
    expect(helpless).toEqual([])
  })
})

/**
 * Codes for which no file of data can be a vector, by the test that raises each: bounds that an envelope refuses first,
 * and what happens between processes, over a network, in a folder of keys, to a request, or where a reader types.
 */
const elsewhere: Readonly<Record<string, readonly string[]>> = {
  'appraise.test.ts': ['snp/size'],
  'azure/parsers.test.ts': ['azure/size'],
  'recognise.test.ts': ['evidence/size', 'evidence/unrecognised', 'evidence/unverified-form'],
  'cca/assemble.test.ts': ['evidence/incomplete'],
  'vectors.test.ts': ['case/file', 'case/form', 'case/variant'],
  'collateral/fetch.test.ts': [
    'collateral/content',
    'collateral/not-found',
    'collateral/rate-limited',
    'collateral/redirect',
    'collateral/refused',
    'collateral/timeout',
    'collateral/too-large',
    'collateral/unreachable',
  ],
  'collateral/store.test.ts': [
    'collateral/backing-off',
    'collateral/budget',
    'collateral/busy',
    'collateral/full',
    'collateral/not-held',
    'collateral/rollback',
  ],
  'endorsements/complete.test.ts': ['collateral/absent', 'collateral/undetermined'],
  'reader.test.ts': [
    'usage/binding',
    'usage/collateral',
    'usage/hex',
    'usage/reference-trust',
    'usage/reference-values',
    'usage/time',
  ],
  'reference/reference.test.ts': ['reference/line', 'reference/rollback'],
  'service/verify.test.ts': ['attest/keyset', 'attest/request', 'attest/unauthorized'],
  'service/collateral.test.ts': ['attest/collateral', 'attest/evidence'],
  'service/routes.test.ts': [
    'attest-keys/announced',
    'attest-keys/count',
    'attest-keys/current',
    'attest-keys/form',
    'attest-keys/unknown',
  ],
}

describe('failure codes of attest', () => {
  const filesIn = (folder: string, form: RegExp) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => form.test(name))
      .map((name) => readFileSync(join(folder, name), 'utf8'))
  // Every union of codes ends where a line begins with something else than a member or a comment on one.
  const unions = filesIn(join(import.meta.dirname, '../../attest'), /\.ts$/).flatMap((text) => [
    ...text.matchAll(/export type \w*Code =(.*(?:\n {2}[|/*].*)*)/g),
  ])
  const codes = new Set(
    unions.flatMap(([, members]) => [...members!.matchAll(/'([a-z0-9-]+\/[a-z0-9-]+)'/g)]).map(([, code]) => code!),
  )
  const named = Object.values(elsewhere).flat()

  test('each is the outcome of a vector, or of a test that is named for it', () => {
    const texts = filesIn(vectors, /(^|\/)cases?\.json$/).join('\n')
    expect(codes.size).toBeGreaterThan(160)
    const missing = [...codes].filter((code) => !texts.includes(`"${code}"`))
    expect(missing.sort()).toEqual([...named].sort())
  })

  test.each(Object.entries(elsewhere))('%s raises those that are named for it', (file, raised) => {
    const text = readFileSync(join(import.meta.dirname, file), 'utf8')
    expect(raised.filter((code) => !text.includes(`'${code}'`))).toEqual([])
  })
})
