import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { judged } from '#client/steps.js'
import { kbsBundleSteps, verifyKbsBundle } from '#client/verify-kbs-bundle.js'
import { toHex } from '#core/bytes/bytes.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import type { MachineEvidence } from '#core/wire/evidence.js'
import { bundleAt } from '#keybroker/queries.js'
import { type AzureBreakage, mintAzureEvidence } from '#test/fakes/azure.js'
import { type DcapBreakage, dcapRootDigest, mintDcapEvidence } from '#test/fakes/dcap.js'
import { attestationOf, clientKey, clientReportData, openJwe, primaryEvidence } from '#test/fakes/kbs-client.js'
import { fakeMachines } from '#test/fakes/machines.js'
import { testRootDigest, testTime } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { amdDocuments, intelDocuments } from '#test/fakes/vendors.js'
import { change, registrationBody } from '../fixtures.js'
import { type Chain, chainFor } from '../served.js'
import { auth, errorOf, pathOf, route } from './fixtures.js'
import { held } from './held.js'

const { open } = anyDatabase()

interface Guest {
  readonly machine: keyof typeof fakeMachines
  /** evidence that carries these 64 bytes, or a vTPM their first 48 */
  readonly mint: (reportData: Uint8Array, initData?: Uint8Array) => Promise<MachineEvidence>
  /** the algorithm of init-data that fills this kind's field, and one that does not fit it; null where all do */
  readonly fits: 'sha256' | 'sha384' | 'sha512'
  readonly tooLong: string | null
}
const dcap =
  (tee: 'tdx' | 'sgx', at: number, initAt: number, broken: DcapBreakage = {}): Guest['mint'] =>
  (reportData, initData) =>
    mintDcapEvidence({
      ...broken,
      tee,
      report(body) {
        body.set(reportData, at)
        if (initData !== undefined) body.set(initData, initAt)
        broken.report?.(body)
      },
    })
const azure =
  (broken: AzureBreakage = {}): Guest['mint'] =>
  (reportData) =>
    mintAzureEvidence({ extraData: reportData.subarray(0, 48), ...broken })

const guests = {
  tdx: { machine: 'tdx', mint: dcap('tdx', 520, 184), fits: 'sha384', tooLong: 'sha512' },
  sgx: { machine: 'sgx', mint: dcap('sgx', 320, 192), fits: 'sha512', tooLong: null },
  'az-snp-vtpm': { machine: 'azure-snp', mint: azure(), fits: 'sha256', tooLong: 'sha384' },
  'az-tdx-vtpm': { machine: 'azure-tdx', mint: azure({ hardware: 'tdx' }), fits: 'sha256', tooLong: 'sha384' },
} as const satisfies Readonly<Record<string, Guest>>
const tees = Object.keys(guests) as readonly (keyof typeof guests)[]

async function allHeld(): Promise<readonly CollateralItem[]> {
  return [...(await intelDocuments()).items, ...(await amdDocuments()).items]
}

/** An owner who delivers by this route and accepts this kind, and the route of the broker. */
async function started(tee: keyof typeof guests, items?: readonly CollateralItem[]) {
  const machine = fakeMachines[guests[tee].machine]
  const chain = await chainFor(await open(), machine, { registration: { delivery: ['kbs'] } })
  const { collateral } = await held(items ?? (await allHeld()))
  return { chain, kbs: route(chain, [], [testRootDigest, dcapRootDigest], collateral) }
}
type Kbs = Awaited<ReturnType<typeof started>>['kbs']

interface Handshake {
  readonly announced?: string
  readonly mint?: Guest['mint']
  readonly version?: number
  readonly initData?: { readonly text: string; readonly field?: Uint8Array }
  readonly primary?: (primary: ReturnType<typeof primaryEvidence>) => ReturnType<typeof primaryEvidence>
}

async function handshake(kbs: Kbs, tee: keyof typeof guests, options: Handshake = {}) {
  const key = clientKey('P-256')
  const { nonce, cookie } = await auth(kbs, options.announced ?? tee)
  const { initData } = options
  const evidence = await (options.mint ?? guests[tee].mint)(clientReportData(nonce, key.jwk), initData?.field)
  const primary = primaryEvidence({ ...evidence }, options.version)
  const body = attestationOf(
    nonce,
    key.jwk,
    options.primary?.(primary) ?? primary,
    initData === undefined ? null : { format: 'toml', body: initData.text },
  )
  const answer = await kbs.ask('POST', '/kbs/v0/attest', { body, headers: { cookie } })
  return { key, cookie, answer }
}

async function codeOf(kbs: Kbs, tee: keyof typeof guests, options: Handshake): Promise<string> {
  const { answer } = await handshake(kbs, tee, options)
  if (answer.status === 200) return 'ok'
  const { code, detail } = await errorOf(answer)
  return code === 'kbs/attestation' ? `${code} ${detail}` : code
}

describe.each(tees)('a guest of kind %s, in the form of unmodified clients', (tee) => {
  const { machine: kind, fits, tooLong } = guests[tee]

  test('gets the key of a model whose owner accepts it; the token says what was verified; the bundle verifies', async () => {
    const { chain, kbs } = await started(tee)
    const { key, cookie, answer } = await handshake(kbs, tee)
    const { token } = (await answer.json()) as { token: string }
    const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString('utf8'))
    const about = claims.submods.cpu0['ear.veraison.annotated-evidence']
    expect(Object.keys(about).sort()).toEqual(['init_data', 'report_data', 'runtime_data_claims', tee].sort())
    expect([claims.claviger_hardware, claims.submods.cpu0['ear.status']]).toEqual(['NOT HARDWARE', 'contraindicated'])
    const resource = await kbs.ask('GET', pathOf(chain), { headers: { cookie } })
    expect(resource.status).toBe(200)
    expect(toHex(openJwe(key, await resource.text()))).toBe(toHex(chain.owner.dek))
    expect(await codeOfBundle(chain, await lastEntry(chain))).toBe('ok')
    // What the owner accepts now decides, not what was accepted when the token was issued.
    const other = fakeMachines[kind === 'tdx' ? 'sgx' : 'tdx']
    await change(chain, 'reference-values', { values: other.values })
    expect((await kbs.ask('GET', pathOf(chain), { headers: { cookie } })).status).toBe(403)
    await change(chain, 'reference-values', { values: fakeMachines[kind].values })
    await change(chain, 'registration', registrationBody(chain.owner, { delivery: ['v1'] }))
    expect((await kbs.ask('GET', pathOf(chain), { headers: { cookie } })).status).not.toBe(200)
    await chain.test.close()
  })

  test('gets no token for another nonce, another kind, debug, or without what its vendor signs', async () => {
    const { chain, kbs } = await started(tee)
    const stale = () => guests[tee].mint(new Uint8Array(64).fill(1))
    expect(await codeOf(kbs, tee, { mint: stale })).toMatch(/^kbs\/attestation .*report-data/)
    expect(await codeOf(kbs, tee, { mint: fakeMachines[kind].debug })).toMatch(
      /^kbs\/attestation .*(?:report-data|debug)/,
    )
    for (const announced of ['snp', ...tees].filter((one) => one !== tee))
      expect(await codeOf(kbs, tee, { announced }), announced).toMatch(/^kbs\/(?:evidence$|attestation )/)
    const more = (primary: unknown) => ({ ...(primary as object), more: 1 }) as never
    expect(await codeOf(kbs, tee, { primary: more })).toBe('kbs/evidence')
    await chain.test.close()
    const bare = await started(tee, [])
    // The chain of AMD is built in, and it is not that of this simulated machine.
    const absent = tee === 'az-snp-vtpm' ? /^kbs\/attestation .*chain\/issuer-name/ : /^kbs\/collateral$/
    expect(await codeOf(bare.kbs, tee, {})).toMatch(absent)
    await bare.chain.test.close()
    const without = await chainFor(await open(), fakeMachines[kind], { registration: { delivery: ['kbs'] } })
    const noStore = route(without, [], [testRootDigest, dcapRootDigest])
    expect(await codeOf(noStore, tee, {})).toMatch(absent)
    await without.test.close()
  })

  test('counts its init-data whole', async () => {
    const { chain, kbs } = await started(tee)
    const text = (algorithm: string) => `version = "0.1.0"\nalgorithm = "${algorithm}"\n[data]\n`
    const field = createHash(fits).update(text(fits)).digest()
    const right = kind.startsWith('azure') ? 'kbs/init-data' : 'ok'
    expect(await codeOf(kbs, tee, { initData: { text: text(fits), field } })).toBe(right)
    expect(await codeOf(kbs, tee, { initData: { text: text(fits) } })).toBe('kbs/init-data')
    if (tooLong !== null) expect(await codeOf(kbs, tee, { initData: { text: text(tooLong) } })).toBe('kbs/init-data')
    await chain.test.close()
  })
})

describe('what only vTPMs and TDs have', () => {
  test('init-data in PCR 8, extended from zero', async () => {
    const { chain, kbs } = await started('az-snp-vtpm')
    const text = 'version = "0.1.0"\nalgorithm = "sha256"\n[data]\n'
    // The minted machine has a fixed PCR 8, which no text extends to: another guest's.
    expect(await codeOf(kbs, 'az-snp-vtpm', { initData: { text } })).toBe('kbs/init-data')
    await chain.test.close()
  })

  test('the second version names the session in what the hardware signed', async () => {
    const { chain, kbs } = await started('az-snp-vtpm')
    const named: Guest['mint'] = (reportData) =>
      mintAzureEvidence({
        extraData: reportData.subarray(0, 48),
        runtime: (value) => void (value['user-data'] = toHex(reportData)),
      })
    expect(await codeOf(kbs, 'az-snp-vtpm', { version: 2, mint: named })).toBe('ok')
    expect(await codeOf(kbs, 'az-snp-vtpm', { version: 2 })).toMatch(/^kbs\/attestation .*runtime data/)
    expect(await codeOf(kbs, 'az-snp-vtpm', { version: 3 })).toBe('kbs/evidence')
    await chain.test.close()
  })

  test('a TD whose security versions are old gets a token and no key; one that Intel revoked gets neither', async () => {
    const at = (tcbStatus: string): DcapBreakage => ({
      tcbInfo(info) {
        const levels = info.tcbLevels as { tcbStatus: string }[]
        for (const level of levels) level.tcbStatus = tcbStatus
      },
    })
    for (const [status, expected] of [
      ['OutOfDate', 'ok'],
      ['Revoked', 'kbs/attestation'],
    ] as const) {
      const { chain, kbs } = await started('tdx', (await intelDocuments(at(status))).items)
      const { answer, cookie } = await handshake(kbs, 'tdx')
      expect([status, answer.status === 200 ? 'ok' : (await errorOf(answer)).code]).toEqual([status, expected])
      if (expected === 'ok') expect((await kbs.ask('GET', pathOf(chain), { headers: { cookie } })).status).toBe(403)
      await chain.test.close()
    }
  })

  test('a runtime event log of its own, which nobody replays, is refused', async () => {
    const { chain, kbs } = await started('tdx')
    const log = (value: string | null) => (primary: unknown) =>
      ({ ...(primary as object), aa_eventlog: value }) as never
    expect(await codeOf(kbs, 'tdx', { primary: log('AAAA') })).toBe('kbs/evidence')
    expect(await codeOf(kbs, 'tdx', { primary: log(null) })).toBe('ok')
    await chain.test.close()
  })

  test('kinds that nobody verifies are refused when they are announced, each with its reason', async () => {
    const { chain, kbs } = await started('tdx')
    for (const [tee, why] of [
      ['cca', 'key of its platform'],
      ['sample', 'nobody signs'],
      ['nvidia', 'device'],
      ['sampledevice', 'device'],
      ['tpm', 'memory'],
      ['se', 'no verifier'],
      ['sev', 'no TEE called'],
    ] as const) {
      const body = JSON.stringify({ version: '0.4.0', tee, 'extra-params': {} })
      const { code, detail } = await errorOf(await kbs.ask('POST', '/kbs/v0/auth', { body }))
      expect([tee, code, detail]).toEqual([tee, 'kbs/tee', expect.stringContaining(why)])
    }
    await chain.test.close()
  })
})

async function lastEntry(chain: Chain): Promise<number> {
  for (let index = 0; ; index++) {
    const found = await bundleAt(chain.test.broker, index + 1, chain.owner.id).catch(() => null)
    if (found === null) return index
  }
}

/** The decision made again offline, as its owner does. */
async function codeOfBundle({ test: made, owner }: Chain, entry: number): Promise<string> {
  const bundle = await bundleAt(made.broker, entry, owner.id)
  const trust = {
    type: 'claviger/trust/v1',
    name: 'mine',
    version: 1,
    issuedAt: testTime,
    expiresAt: testTime + 1000,
    owners: [{ alias: 'acme', key: owner.key.publicKey }],
    brokers: [{ alias: 'broker', key: made.broker.signer.publicKey as Ed25519Jwk }],
    verifiers: [],
    logs: [made.testLog.vkey],
    witnessPolicy: made.testLog.quorumPolicy,
    independentWitnesses: [],
    runtimes: [],
    runtimePublishers: [],
    registries: [],
    issuers: [],
    collateralFloors: [],
    simulatedRoots: [testRootDigest, dcapRootDigest],
  } as const
  const file = parseJson(canonicalJson(bundle)) as Json
  const verdict = await judged(kbsBundleSteps, (steps) => verifyKbsBundle(file, trust, steps))
  return verdict.ok ? 'ok' : `${verdict.failure.code} ${verdict.failure.message}`
}
