import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run as newKeys } from '#cli/keys.js'
import { createProgram } from '#cli/program.js'
import { loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { toHex } from '#core/bytes/bytes.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { canonicalJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { signTrust, type Trust } from '#core/wire/trust-file.js'
import { testIo } from '#test/e2e/fixtures.js'
import { testMeasurement, testReferenceValues, testRootDigest, testTime } from '#test/fakes/platform.js'
import {
  corimPayload,
  measurementOf,
  publisher384,
  signedCorim,
  signedCorim384,
  signedStatement,
  statementOf,
} from '#test/fakes/reference.js'
import { mintEvidence, mintedReportData } from '#test/fakes/snp.js'

let folder: string
const at = (name: string) => join(folder, name)
const values = canonicalJson(testReferenceValues())
const place = () => ['--trust', at('trust.json'), '--folder', at('kept')]
let clock = testTime
const state = process.env.XDG_STATE_HOME

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-reference-'))
  process.env.XDG_STATE_HOME = at('state')
  await newKeys({ out: at('keys'), name: 'acme' }, testIo())
  const { signingKey } = await loadOwnerKeys(at('keys'))
  await writeFile(at('values.json'), values)
  await writeFile(at('other.json'), canonicalJson(testReferenceValues({ measurements: ['cd'.repeat(48)] })))
  const trust: Trust = {
    type: 'claviger/trust/v1',
    name: 'reader',
    version: 1,
    issuedAt: testTime - 1000,
    expiresAt: testTime + 1000 * 86_400,
    owners: [],
    brokers: [],
    verifiers: [],
    logs: [],
    witnessPolicy: 'quorum none\n',
    independentWitnesses: [],
    runtimes: [],
    runtimePublishers: [{ alias: 'acme', key: signingKey.publicKey }],
    registries: [],
    issuers: [],
    collateralFloors: [],
    simulatedRoots: [testRootDigest],
  }
  const author = (await generateSigningKey('ES256')).key
  await writeFile(at('trust.json'), canonicalJson(await signTrust(trust, author)))
  const nobody = { ...trust, name: 'nobody', runtimePublishers: [] }
  await writeFile(at('nobody.json'), canonicalJson(await signTrust(nobody, author)))
  const vendor = { ...trust, name: 'vendor', runtimePublishers: [publisher384] }
  await writeFile(at('vendor.json'), canonicalJson(await signTrust(vendor, author)))
  await writeFile(at('slsa.json'), await signedStatement(signingKey, statementOf(values)))
  await writeFile(at('image.corim'), await signedCorim(signingKey, corimPayload([[measurementOf('11'.repeat(48))]])))
})
afterAll(async () => {
  if (state === undefined) delete process.env.XDG_STATE_HOME
  else process.env.XDG_STATE_HOME = state
  await rm(folder, { recursive: true, force: true })
})

async function typed(...args: readonly string[]) {
  const base = testIo()
  const io = { ...base, now: () => clock }
  try {
    const program = await createProgram(io, args[0])
    await program.parseAsync(['node', 'claviger', ...args])
  } catch (error) {
    if (isFailure(error)) return { code: error.code, out: base.out(), err: `${error.message}\n${error.detail?.hint}` }
    throw error
  }
  return { code: base.code(), out: base.out(), err: base.err() }
}
const reference = (...args: readonly string[]) => typed('reference', ...args)
const sign = (version: number, file = 'values.json', out = `v${version}.json`) =>
  reference(
    'sign',
    '--keys',
    at('keys'),
    '--values',
    at(file),
    '--name',
    'runtime',
    '--set-version',
    String(version),
    '--title',
    'runtime 1.0',
    '--out',
    at(out),
  )

describe('reference values on the command line', () => {
  test('a publisher signs, a reader takes in, lists, shows, and sees what a new version changes', async () => {
    expect((await sign(1)).code).toBe(0)
    expect((await sign(2, 'other.json')).code).toBe(0)
    const verified = await reference('verify', at('v1.json'), '--trust', at('trust.json'))
    expect([verified.code, verified.out]).toEqual([0, expect.stringContaining('publisher  acme')])
    expect((await reference('import', at('v1.json'), ...place(), '--dry-run')).out).toContain('would take in runtime')
    expect((await reference('list', ...place())).err).toContain('no reference values')
    expect((await reference('import', at('v1.json'), ...place())).code).toBe(0)
    const next = await reference('import', at('v2.json'), ...place())
    expect(next.out).toContain(`- snp.measurements "${'ab'.repeat(48)}"`)
    expect(next.out).toContain(`+ snp.measurements "${'cd'.repeat(48)}"`)
    expect((await reference('import', at('v1.json'), ...place())).code).toBe('reference/rollback')
    const list = await reference('list', ...place(), '--json')
    expect([list.code, JSON.parse(list.out)]).toMatchObject([
      0,
      { references: [{ name: 'runtime', state: 'current', provenance: { version: 2 } }] },
    ])
    const shown = await reference('show', 'runtime', ...place())
    expect(JSON.parse(shown.out)).toEqual({
      snp: JSON.parse(JSON.stringify(testReferenceValues({ measurements: ['cd'.repeat(48)] }))).snp,
    })
    expect(shown.err).toContain('runtime version 2')
  })

  test('an older version of a line that was taken in does not count, under no name and by no command', async () => {
    const newest = 'set runtime is version 1, version 2 was taken in before'
    expect((await reference('import', at('v1.json'), ...place(), '--name', 'other')).code).toBe('reference/rollback')
    expect((await reference('list', ...place())).out).not.toContain('other')
    const verified = await reference('verify', at('v1.json'), ...place())
    expect([verified.code, verified.out]).toEqual([3, `NOT ACCEPTED ${newest} (reference/rollback)\n`])
    expect((await reference('verify', at('v2.json'), ...place())).code).toBe(0)
    // The newer one under another name makes the first name one of an older version.
    await sign(3)
    const elsewhere = ['--trust', at('trust.json'), '--folder', at('elsewhere')]
    await reference('import', at('v2.json'), ...elsewhere)
    expect((await reference('import', at('v3.json'), ...elsewhere, '--name', 'next')).code).toBe(0)
    const list = await reference('list', ...elsewhere)
    expect([list.code, list.out]).toEqual([3, expect.stringMatching(/current next.*\nnot-accepted runtime.*rollback/)])
    expect((await reference('show', 'runtime', ...elsewhere)).code).toBe('reference/rollback')
    expect((await reference('show', 'next', ...elsewhere)).code).toBe(0)
    // Another document of a version that was taken in.
    await sign(3, 'other.json', 'v3-other.json')
    expect((await reference('verify', at('v3-other.json'), ...elsewhere)).out).toContain(
      'another document of version 3',
    )
    // Another publisher's line of the same name is another line.
    expect(
      (await reference('verify', at('v1.json'), '--trust', at('nobody.json'), '--folder', at('elsewhere'))).out,
    ).toContain('reference/publisher')
  })

  test('what expired, or whose publisher is trusted no longer, does not count, and still lets nothing older in', async () => {
    clock = testTime + 200 * 86_400
    const list = await reference('list', ...place())
    expect([list.code, list.out]).toEqual([3, expect.stringContaining('expired runtime')])
    expect((await reference('show', 'runtime', ...place())).code).toBe('reference/expired')
    clock = testTime
    expect((await reference('import', at('v1.json'), ...place())).code).toBe('reference/rollback')
    const nobody = ['--trust', at('nobody.json'), '--folder', at('kept')]
    expect((await reference('list', ...nobody)).out).toContain('not-accepted runtime')
    expect((await reference('verify', at('v1.json'), '--trust', at('nobody.json'))).code).toBe(3)
  })

  test('provenance statements and manifests come with the values beside them', async () => {
    expect((await reference('import', at('slsa.json'), ...place())).code).toBe('reference/values')
    const slsa = ['import', at('slsa.json'), '--values', at('values.json')]
    expect((await reference(...slsa, ...place())).code).toBe('usage/reference-name')
    expect((await reference(...slsa, '--name', 'built', ...place())).out).toContain(
      'builder    https://builder.example/1',
    )
    const corim = await reference(
      'import',
      at('image.corim'),
      '--values',
      at('values.json'),
      '--name',
      'image',
      ...place(),
    )
    expect(corim.out).toContain('source     corim')
    expect((await reference(...slsa, '--name', 'image', ...place())).code).toBe('reference/line')
    const changes = await reference('diff', at('values.json'), 'image', ...place(), '--json')
    expect([changes.code, JSON.parse(changes.out).changes.length]).toEqual([3, 2])
    expect((await reference('diff', at('values.json'), 'built', ...place())).code).toBe(0)
    expect((await reference('diff', 'image', 'built', '--folder', at('kept'))).code).toBe('usage/reference-trust')
  })

  test('a damaged file of what was taken in is named with the way out, lets nothing older in, and is not written over', async () => {
    const [damaged, file] = [['--trust', at('trust.json'), '--folder', at('damaged')], at('damaged/runtime.json')]
    await reference('import', at('v2.json'), ...damaged)
    const whole = await readFile(file)
    for (const [bytes, why] of [
      [whole.subarray(0, 50), 'json/syntax'],
      [Buffer.from('{"format":"claviger-reference/1"}'), 'shape/missing'],
      [Buffer.from(whole.toString().replace(/"signed":"[^"]*"/, '"signed":"e30="')), 'reference/form'],
    ] as const) {
      await writeFile(file, bytes)
      for (const args of [
        ['show', 'runtime'],
        ['verify', at('v2.json')],
        ['import', at('v1.json'), '--name', 'other'],
        ['import', at('v2.json')],
      ]) {
        // What is inside the document is the document's: show says that by itself.
        if (why === 'reference/form' && args[0] === 'show') continue
        const found = await reference(...args, ...damaged)
        expect([why, found.code]).toEqual([why, 'reference/damaged'])
        expect(found.err).toContain(`${file} is damaged: `)
        expect(found.err).toContain('remove it and take the newest document in again')
      }
      expect(new Uint8Array(await readFile(file))).toEqual(new Uint8Array(bytes))
      const list = await reference('list', ...damaged)
      expect([list.code, list.out]).toEqual([3, expect.stringContaining('not-accepted runtime')])
    }
    await rm(file)
    expect((await reference('import', at('v2.json'), ...damaged)).code).toBe(0)
  })

  test('what was not taken in, or is no set, says so', async () => {
    expect((await reference('show', 'nothing', ...place())).code).toBe('reference/absent')
    expect((await reference('verify', at('values.json'), '--trust', at('trust.json'))).out).toContain('NOT ACCEPTED')
  })

  test('a verdict on evidence names who vouches for the values', async () => {
    await writeFile(at('evidence.json'), canonicalJson(await mintEvidence()))
    const evidence = [
      'attest',
      'verify',
      at('evidence.json'),
      '--report-data',
      toHex(mintedReportData),
      '--dangerous-allow-simulated',
    ]
    const signed = [...evidence, '--reference-values', at('v1.json')]
    expect((await typed(...signed)).code).toBe('usage/reference-trust')
    const found = await typed(...signed, '--trust', at('trust.json'), '--json')
    expect([found.code, JSON.parse(found.out)]).toMatchObject([
      0,
      { referenceValues: { publisher: 'acme', version: 1, source: 'claviger' } },
    ])
    expect((await typed(...signed, '--trust', at('trust.json'))).out).toContain('vouched for by acme')
    expect((await typed(...signed, '--trust', at('nobody.json'))).code).toBe('reference/publisher')
    // Once this reader has taken a newer version in, the older one judges nothing.
    await reference('import', at('v2.json'), '--trust', at('trust.json'))
    expect((await typed(...signed, '--trust', at('trust.json'))).code).toBe('reference/rollback')
    await rm(at('state'), { recursive: true })
    expect((await typed(...signed, '--trust', at('trust.json'))).code).toBe(0)
  })

  describe('evidence is judged by', () => {
    const own = mintedReportData
    const trust = ['--trust', '@trust.json']
    const judge = (...more: readonly string[]) =>
      typed(
        ...['attest', 'verify', at('evidence.json'), '--report-data', toHex(own), '--dangerous-allow-simulated'],
        ...more.map((one) => one.replace('@', `${folder}/`)),
      )
    beforeAll(async () => {
      await writeFile(at('evidence.json'), canonicalJson(await mintEvidence()))
      const { signingKey } = await loadOwnerKeys(at('keys'))
      const manifest = corimPayload([[measurementOf(testMeasurement)]])
      await writeFile(at('own.corim'), await signedCorim(signingKey, manifest))
      await writeFile(at('unsigned.corim'), manifest)
    })

    test.each([
      ['slsa', ['@slsa.json', '--values', '@values.json'], 0],
      ['corim', ['@own.corim', '--values', '@values.json'], 0],
      // The CoRIM's list takes the place of the one around it, whatever that says.
      ['corim', ['@own.corim', '--values', '@other.json'], 0],
      ['corim', ['@image.corim', '--values', '@values.json'], 3],
    ])('a signed %s with values beside it: %j', async (source, files, code) => {
      const found = await judge('--reference-values', ...files, ...trust, '--json')
      expect([found.code, JSON.parse(found.out)]).toMatchObject([
        code,
        { accepted: code === 0, referenceValues: { publisher: 'acme', source } },
      ])
    })

    test.each([
      ['usage/reference-trust', ['@own.corim', '--values', '@values.json']],
      ['usage/reference-trust', ['@slsa.json', '--values', '@values.json']],
      ['usage/reference-values', ['@own.corim', '--trust', '@trust.json']],
      ['usage/reference-values', ['@slsa.json', '--trust', '@trust.json']],
      ['usage/reference-values', ['@values.json', '--values', '@values.json']],
      ['reference/publisher', ['@own.corim', '--values', '@values.json', '--trust', '@nobody.json']],
      ['reference/subject', ['@slsa.json', '--values', '@other.json', '--trust', '@trust.json']],
      ['reference/values', ['@v1.json', '--values', '@values.json', '--trust', '@trust.json']],
      ['reference/form', ['@unsigned.corim', '--values', '@values.json', '--trust', '@trust.json']],
    ])('nothing, with %s, when --reference-values is %j', async (code, files) => {
      expect((await judge('--reference-values', ...files)).code).toBe(code)
    })

    test('a CoRIM of a vendor who signs on P-384', async () => {
      await writeFile(at('vendor.corim'), await signedCorim384(corimPayload([[measurementOf(testMeasurement)]])))
      const files = ['--reference-values', '@vendor.corim', '--values', '@other.json']
      expect((await judge(...files, '--trust', '@trust.json')).code).toBe('reference/publisher')
      const found = await judge(...files, '--trust', '@vendor.json', '--json')
      expect([found.code, JSON.parse(found.out).referenceValues.publisher]).toEqual([0, 'vendor'])
    })

    test('nothing that is none, which is named with what was expected', async () => {
      await writeFile(at('quote.bin'), new Uint8Array([4, 0, 2, 0, 0xff]))
      await writeFile(at('list.json'), '[]')
      for (const [code, files, name] of [
        ['bytes/utf8', ['@quote.bin'], 'quote.bin'],
        ['shape/type', ['@list.json'], 'list.json'],
        ['bytes/utf8', ['@own.corim', '--values', '@quote.bin', ...trust], 'quote.bin'],
        ['shape/type', ['@own.corim', '--values', '@list.json', ...trust], 'list.json'],
      ] as const) {
        const found = await judge('--reference-values', ...files)
        expect(found.code).toBe(code)
        expect(found.err).toContain(`${at(name)} holds no reference values: `)
        expect(found.err).toContain('expected is JSON')
      }
      await mkdir(at('state/claviger/reference'), { recursive: true })
      await writeFile(at('state/claviger/reference/runtime.json'), '{')
      expect((await judge('--reference-values', '@v1.json', ...trust)).code).toBe('reference/damaged')
      // No version, so nothing that was taken in could be newer.
      expect((await judge('--reference-values', '@own.corim', '--values', '@values.json', ...trust)).code).toBe(0)
      await rm(at('state'), { recursive: true })
    })

    test('nothing, when --values stands alone', async () => {
      expect((await judge('--values', '@values.json')).code).toBe('usage/reference-values')
    })
  })
})
