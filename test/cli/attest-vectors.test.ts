import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { ExplainedPart } from '#attest/explain/part.js'
import { catalogue } from '#attest/steps.js'
import type { TracedStep } from '#attest/trace.js'
import * as explain from '#cli/attest/explain.js'
import * as attest from '#cli/attest/verify.js'
import { type Io, reportError } from '#cli/output.js'
import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { parsePem } from '#core/encoding/pem.js'
import { outside } from '../fakes/outside.js'

/** What a published case says of itself, as far as a command line can be told. */
interface Case {
  readonly tee: string
  readonly files: Readonly<Record<string, string>>
  readonly validAt: string
  readonly reportData: string | null
  readonly nonce: string | null
  readonly expect: 'pass' | 'fail'
  readonly expectCrypto?: 'pass' | 'fail'
}

/** The file that a person would name, by the kind of the case; everything else lies in the folder beside it. */
const evidenceFiles: Readonly<Record<string, readonly string[]>> = {
  'sev-snp': ['report'],
  tdx: ['quote'],
  sgx: ['quote'],
  nitro: ['document'],
  'nvidia-gpu': ['report', 'gpu0Report'],
  'azure-vtpm': ['hclReport'],
  'arm-cca': ['token'],
}

async function verify(file: string, args: Partial<attest.AttestVerifyArguments>) {
  let [out, err] = ['', '']
  const io: Io = {
    stdout: (text) => {
      out += text
    },
    stderr: (text) => {
      err += text
    },
    isTerminal: false,
    now: () => 0,
    exit() {},
    ask: async () => null,
  }
  const code = await attest.run({ file, ...args }, io).catch((error: unknown) => reportError(io, error))
  return { code, out, err }
}

const published = outside('vectors')
const cases = (published === undefined ? [] : readdirSync(published, { recursive: true, encoding: 'utf8' }))
  .filter((path) => path.endsWith('case.json'))
  .sort()
  .map((path) => [dirname(path), join(published!, dirname(path))] as const)
const read = (folder: string) => JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as Case
const named = (one: Case, folder: string, roles: readonly string[]) =>
  join(folder, roles.map((role) => one.files[role]).find((file) => file !== undefined)!)

function platformKeyDigest(one: Case, folder: string): string {
  const [key] = parsePem(readFileSync(join(folder, one.files.platformKey!), 'utf8'), 'PUBLIC KEY', 1)
  return toHex(sha256(key!))
}

describe.skipIf(published === undefined)('claviger attest verify, on every published case', () => {
  test('there are all 57', () => expect(cases.length).toBe(57))

  test.each(cases)('%s', async (_, folder) => {
    const one = read(folder)
    const emulated = one.tee === 'arm-cca'
    // No vendor has a root for these: a reader names the key of the platform, and so nothing is hardware.
    const simulatedRoot = emulated ? [platformKeyDigest(one, folder)] : []
    const args = { at: one.validAt, collateral: folder, simulatedRoot }
    const roles = evidenceFiles[one.tee]!
    // Nitro, vTPMs and GPUs take a nonce; the others carry 64 bytes.
    const nonces = ['nitro', 'azure-vtpm', 'nvidia-gpu'].includes(one.tee)
    const bound = nonces ? one.nonce : one.reportData
    const binding = bound === null ? {} : { [nonces ? 'nonce' : 'reportData']: bound }
    const { code, out } = await verify(named(one, folder, roles), { ...args, ...binding, json: true })
    // Never 0: no case comes with reference values of its owner.
    expect(code).toBe(3)
    const { steps, kind, hardware, accepted, failure } = JSON.parse(out) as {
      steps: readonly TracedStep[]
      kind: keyof typeof catalogue
      hardware: boolean
      accepted: boolean
      failure: string | null
    }
    expect(accepted).toBe(false)
    const own = catalogue[kind].steps.map(({ id }) => id)
    expect(steps.slice(0, own.length).map(({ id }) => id)).toEqual(own)
    const ids = (verdict: string) => steps.filter((step) => step.verdict === verdict).map(({ id }) => id)
    if ((one.expectCrypto ?? one.expect) === 'fail') {
      expect(failure).not.toBe(null)
      expect(ids('fail').length).toBe(1)
      return
    }
    // A case means the devices alone by its cryptography; that of a RIM beside them is judged all the same.
    if (failure?.startsWith('gpu/rim')) return expect(one.expect).toBe('fail')
    // Its answers of OCSP are of two months: at no time are all of them current.
    if (failure?.startsWith('ocsp/')) return expect(folder).toContain('gh100-550.90.07-full')
    expect(failure).toBe(null)
    expect(hardware).toBe(!emulated)
    const mayLack = [
      'snp/crl',
      'tdx/event-log',
      'gpu/rim',
      'gpu/ocsp',
      'gpu/golden',
      'reference-values',
      ...(bound === null ? ['report-data'] : []),
    ]
    for (const id of ids('skip')) expect(mayLack).toContain(id)
    // Devices and TCBs that only reference values can refuse are left to them.
    if (one.expect === 'pass') expect(ids('fail')).toEqual([])
    else if (one.tee !== 'nvidia-gpu') expect(ids('fail').length).toBeGreaterThan(0)
  })
})

describe.skipIf(published === undefined)('a CCA token', () => {
  const folder = join(published ?? '', 'arm-cca/coco-fvp')
  const token = join(folder, 'token.cbor')

  test('whose platform key nobody named is refused, whoever sent the key along', async () => {
    const { code, out } = await verify(token, { at: '2026-01-01T00:00:00Z', collateral: folder, json: true })
    expect(code).toBe(3)
    expect(JSON.parse(out)).toMatchObject({ failure: 'cca/unknown-key', accepted: false })
  })

  test('without the key of its platform is usage, with what is missing', async () => {
    const { code, err } = await verify(token, { at: '2026-01-01T00:00:00Z' })
    expect(code).toBe(2)
    expect(err).toContain('the public key of the platform')
  })
})

describe.skipIf(published === undefined)('claviger attest explain, on every published case', () => {
  test.each(cases)('%s', async (_, folder) => {
    const one = read(folder)
    for (const file of [named(one, folder, evidenceFiles[one.tee]!)]) {
      let out = ''
      const io = { stdout: (text: string) => (out += text), stderr() {}, isTerminal: false, now: () => 0, exit() {} }
      const code = await explain.run({ file, json: true }, { ...io, ask: async () => null } as unknown as Io)
      expect(code).toBe(0)
      const { parts, verified } = JSON.parse(out) as { verified: boolean; parts: readonly ExplainedPart[] }
      expect(verified).toBe(false)
      const fields = parts.flatMap((part) => part.fields)
      expect(fields.length).toBeGreaterThan(15)
      expect(fields.filter(({ name }) => name.startsWith('(cut') || name.startsWith('(not'))).toEqual([])
    }
  })
})

test.skipIf(published === undefined)('the transcript of docs/attest.md is what the command prints', async () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/attest.md'), 'utf8')
  const [, transcript] = /^```\n(AMD SEV-SNP report, [\s\S]*?)^```/m.exec(page)!
  const folder = join(published!, 'sev-snp/milan-v2-vcek')
  const { out } = await verify(join(folder, 'report.bin'), { at: '2026-03-01T00:00:00Z', collateral: folder })
  const [head, tail] = transcript!.split('…\n')
  expect(out.startsWith(head!)).toBe(true)
  expect(out.endsWith(tail!)).toBe(true)
})
