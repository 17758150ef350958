import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { catalogue } from '#attest/steps.js'
import type { TracedStep } from '#attest/trace.js'
import * as attest from '#cli/attest/verify.js'
import { type Io, reportError } from '#cli/output.js'
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
}
/** Told apart, and not verified: the command says so, and ends with 1. */
const unverified: Readonly<Record<string, readonly string[]>> = {
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

describe.skipIf(published === undefined)('claviger attest verify, on every published case', () => {
  test('there are all 57', () => expect(cases.length).toBe(57))

  test.each(cases)('%s', async (_, folder) => {
    const one = read(folder)
    const args = { at: one.validAt, collateral: folder }
    const roles = evidenceFiles[one.tee]
    if (roles === undefined) {
      const refused = await verify(named(one, folder, unverified[one.tee]!), args)
      expect(refused).toMatchObject({ code: 1, out: '' })
      expect(refused.err).toContain('(evidence/unverified-form)')
      return
    }
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
    expect(failure).toBe(null)
    expect(hardware).toBe(true)
    const mayLack = [
      'snp/crl',
      'tdx/event-log',
      'gpu/rim',
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
