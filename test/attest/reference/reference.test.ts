import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { diffReferenceValues } from '#attest/reference/diff.js'
import type { Publisher } from '#attest/reference/provenance.js'
import { verifyNewest, verifyNotRolledBack, verifyReference, verifyReferenceSeen } from '#attest/reference/verify.js'
import { fromHex, fromUtf8, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { signEnvelope } from '#core/dsse.js'
import { type Cbor, encodeCbor } from '#core/encoding/cbor.js'
import { canonicalJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { ccaKeys } from '#test/fakes/cca.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'
import { testMeasurement, testReferenceValues, testTime } from '#test/fakes/platform.js'
import {
  corimPayload,
  environmentOf,
  goodSet,
  makePublisher,
  measurementOf,
  minSvn,
  publisher384,
  rawOf,
  signedCorim,
  signedCorim384,
  signedSet,
  signedStatement,
  signedStatement384,
  statementOf,
  type TestPublisher,
  validityOf,
} from '#test/fakes/reference.js'

let acme: TestPublisher
let other: TestPublisher
let edward: TestPublisher
beforeAll(async () => {
  acme = await makePublisher('acme')
  other = await makePublisher('other')
  edward = await makePublisher('edward', 'Ed25519')
})
const trusted = () => [edward.publisher, acme.publisher]
const values = canonicalJson(testReferenceValues())
const judge = (signed: Uint8Array, beside: Uint8Array | null = null, at = testTime) =>
  verifyReference({ signed, values: beside }, trusted(), at)

describe("a publisher's own set", () => {
  test.each(['acme', 'edward'] as const)('counts when %s signed it, and says who and when', async (alias) => {
    const { signingKey } = alias === 'acme' ? acme : edward
    const found = await judge(await signedSet(signingKey))
    expect(found.values).toEqual(testReferenceValues())
    expect(found.valuesDigest).toBe(toHex(sha256(values)))
    expect(found.provenance).toMatchObject({
      source: 'claviger',
      publisher: alias,
      key: signingKey.id,
      name: 'runtime',
      version: 3,
      signedAt: testTime - 100,
      expiresAt: testTime + 100,
      builder: null,
    })
  })

  test.each([
    ['reference/publisher', 'nobody signed whom the reader trusts', () => signedSet(other.signingKey)],
    ['reference/expired', 'is over', () => signedSet(acme.signingKey, { expiresAt: testTime - 1 })],
    ['reference/not-yet-valid', 'is of tomorrow', () => signedSet(acme.signingKey, { issuedAt: testTime + 86_400 })],
    ['shape/unknown', 'says more', () => signedSet(acme.signingKey, { more: 1 } as never)],
    ['reference/form', 'is cut', async () => (await signedSet(acme.signingKey)).slice(0, -1)],
    [
      'reference/form',
      'is an envelope of another type',
      async () => canonicalJson(await signEnvelope('text/plain', canonicalJson(goodSet()), [acme.signingKey])),
    ],
    ['reference/form', 'is bare values', async () => values],
    ['reference/form', 'is nothing', async () => new Uint8Array()],
  ])('ends with %s when it %s', async (code, _what, mint) => {
    expect(await codeOfPromise(judge(await mint()))).toBe(code)
  })

  test('holds its values in itself', async () => {
    expect(await codeOfPromise(judge(await signedSet(acme.signingKey), values))).toBe('reference/values')
  })

  test('no changed byte of it counts', async () => {
    const good = fromUtf8(await signedSet(acme.signingKey))
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.constantFrom('A', '0', '}', 'x'), async (at, character) => {
        const changed = `${good.slice(0, at)}${character}${good.slice(at + 1)}`
        try {
          // A key id is a hint that nobody reads.
          expect((await judge(utf8(changed))).values).toEqual(testReferenceValues())
        } catch (error) {
          if (!isFailure(error)) throw error
        }
      }),
      { numRuns: 200 },
    )
  })

  test('an older version, another of the same, or one of another line does not take its place', async () => {
    const at = async (change: object, who = acme) => {
      const set = await signedSet(who.signingKey, change)
      return verifyReferenceSeen({ signed: set, values: null }, [acme.publisher, edward.publisher])
    }
    const before = await at({})
    const codes = async (change: object, who = acme) => {
      const next = await at(change, who)
      return codeOf(() => verifyNotRolledBack(next, before))
    }
    expect(await codes({ version: 4 })).toBe('ok')
    expect(await codes({})).toBe('ok')
    expect(await codes({ version: 2 })).toBe('reference/rollback')
    expect(await codes({ title: 'another' })).toBe('reference/rollback')
    expect(await codes({ name: 'else', version: 9 })).toBe('reference/line')
    expect(await codes({ version: 9 }, edward)).toBe('reference/line')
    const seen = [before.provenance, (await at({ name: 'else', version: 9 })).provenance]
    const newest = async (change: object, who = acme) => {
      const { provenance } = await at(change, who)
      return codeOf(() => verifyNewest(provenance, seen))
    }
    expect(await newest({})).toBe('ok')
    expect(await newest({ version: 2 })).toBe('reference/rollback')
    expect(await newest({ title: 'another' })).toBe('reference/rollback')
    expect(await newest({ name: 'else', version: 8 })).toBe('reference/rollback')
    expect(await newest({ name: 'third', version: 1 })).toBe('ok')
    expect(await newest({ version: 1 }, edward)).toBe('ok')
    const expired = await at({ expiresAt: testTime - 50 })
    expect(codeOf(() => verifyNotRolledBack({ provenance: { ...before.provenance, version: 2 } }, expired))).toBe(
      'reference/rollback',
    )
  })
})

describe('a provenance statement', () => {
  const sign = (change: object = {}, who = acme) => signedStatement(who.signingKey, statementOf(values, change))

  test('vouches for the file that it names, and says what built it', async () => {
    const found = await judge(await sign(), values)
    expect(found.values).toEqual(testReferenceValues())
    expect(found.provenance).toMatchObject({
      source: 'slsa',
      publisher: 'acme',
      builder: 'https://builder.example/1',
      signedAt: testTime,
      expiresAt: null,
    })
  })

  test.each<[string, string, () => Promise<Uint8Array>, (() => Uint8Array | null)?]>([
    ['reference/subject', 'of another file', () => sign(), () => utf8(`${fromUtf8(values)} `)],
    ['reference/values', 'without the file', () => sign(), () => null],
    ['reference/publisher', 'of a stranger', () => sign({}, other)],
    [
      'reference/form',
      'of another meaning',
      () => sign({ predicateType: 'https://in-toto.io/attestation/test-result/v0.1' }),
    ],
    ['reference/form', 'without a builder', () => sign({ predicate: { runDetails: {} } })],
    ['reference/form', 'without subjects', () => sign({ subject: 1 })],
    ['reference/form', 'with more subjects than anybody reads', () => sign({ subject: Array(10_001).fill(0) })],
    ['reference/subject', 'with as many as are read', () => sign({ subject: Array(10_000).fill(0) })],
    [
      'reference/subject',
      'with odd subjects',
      () => sign({ subject: [null, 1, { digest: [] }, { digest: { sha256: 7 } }] }),
    ],
  ])('%s: one %s', async (code, _what, mint, beside = () => values) => {
    expect(await codeOfPromise(judge(await mint(), beside()))).toBe(code)
  })

  test('a file that is named and holds no values is refused by its reader', async () => {
    const file = utf8('{"snp":1}')
    expect(await codeOfPromise(judge(await signedStatement(acme.signingKey, statementOf(file)), file))).toMatch(
      /^shape\//,
    )
  })
})

describe('a signed CoRIM', () => {
  const [m1, m2] = ['11'.repeat(48), '22'.repeat(48)]
  const corim = async (...args: Parameters<typeof corimPayload>) => signedCorim(acme.signingKey, corimPayload(...args))

  test('its measurements take the place of those in the values around them', async () => {
    const validity = validityOf(testTime - 10, testTime + 10)
    const found = await judge(
      await corim([[measurementOf(m1, [minSvn(4)])], [measurementOf(m2)]], { validity }),
      values,
    )
    expect(found.values).toEqual({
      snp: { ...testReferenceValues().snp, measurements: [m1, m2], guestSvnMin: 4 },
    })
    expect(found.title).toBe('image 1.0')
    expect(found.provenance).toMatchObject({
      source: 'corim',
      publisher: 'acme',
      signedAt: testTime - 10,
      expiresAt: testTime + 10,
    })
  })

  test('keys and host data of one guest are taken with it', async () => {
    const one = [measurementOf(m1), rawOf(5, 'a5'.repeat(48)), rawOf(6, 'a6'.repeat(48)), rawOf(8, 'a8'.repeat(32))]
    expect((await judge(await corim([one]), values)).values.snp).toMatchObject({
      measurements: [m1],
      idKeyDigests: ['a5'.repeat(48)],
      authorKeyDigests: ['a6'.repeat(48)],
      hostData: ['a8'.repeat(32)],
    })
  })

  const signedFor = (meta: Cbor, validity?: Cbor) =>
    signedCorim(
      acme.signingKey,
      corimPayload([[measurementOf(m1)]], validity === undefined ? {} : { validity }),
      undefined,
      undefined,
      meta,
    )
  const meta = (validity: Cbor, ...more: readonly (readonly [number, Cbor])[]) =>
    encodeCbor(new Map<number, Cbor>([[0, new Map<number, Cbor>([[0, 'acme']])], [1, validity], ...more]))

  test('holds while its values do and while its signature does', async () => {
    const validity = validityOf(testTime - 50, testTime + 50)
    const found = await judge(await signedFor(meta(validityOf(testTime - 10, testTime + 90)), validity), values)
    expect(found.provenance).toMatchObject({ signedAt: testTime - 10, expiresAt: testTime + 50 })
    const alone = await judge(await signedFor(meta(validityOf(null, testTime))), values)
    expect(alone.provenance).toMatchObject({ signedAt: null, expiresAt: testTime })
  })

  test('its own profile may be named', async () => {
    const profile = { tag: 32, value: 'tag:amd.com,2025:snp-corim-profile' }
    for (const one of [profile, [profile]])
      expect((await judge(await corim([[measurementOf(m1)]], { more: [[3, one]] }), values)).title).toBe('image 1.0')
  })

  test('never lowers what the reader demands', async () => {
    const strict = canonicalJson({ snp: { ...testReferenceValues().snp, guestSvnMin: 9 } })
    expect((await judge(await corim([[measurementOf(m1, [minSvn(4)])]]), strict)).values.snp!.guestSvnMin).toBe(9)
  })

  test.each<[string, string, () => Promise<Uint8Array>]>([
    [
      'reference/publisher',
      'of a stranger',
      async () => signedCorim(other.signingKey, corimPayload([[measurementOf(m1)]])),
    ],
    [
      'reference/form',
      'of another content type',
      async () => signedCorim(acme.signingKey, corimPayload([[measurementOf(m1)]]), 'text/plain'),
    ],
    [
      'reference/expired',
      'that is over',
      () => corim([[measurementOf(m1)]], { validity: validityOf(null, testTime - 1) }),
    ],
    [
      'reference/not-yet-valid',
      'of tomorrow',
      () => corim([[measurementOf(m1)]], { validity: validityOf(testTime + 86_400, testTime + 90_000) }),
    ],
    [
      'reference/expired',
      'whose signature is over',
      () => signedFor(meta(validityOf(null, testTime - 1)), validityOf(null, testTime + 99)),
    ],
    [
      'reference/not-yet-valid',
      'whose signature holds from tomorrow on',
      () => signedFor(meta(validityOf(testTime + 86_400, testTime + 90_000))),
    ],
    ['reference/form', 'whose signer says what is no byte string', () => signedFor(new Map())],
    [
      'reference/unsupported',
      'whose signer says what is not known',
      () => signedFor(meta(validityOf(null, testTime), [2, 1])),
    ],
    [
      'reference/unsupported',
      'of a profile that is not known',
      () => corim([[measurementOf(m1)]], { more: [[3, { tag: 32, value: 'tag:example.org,2025:other' }]] }),
    ],
    [
      'reference/unsupported',
      'of a profile that is no URI',
      () => corim([[measurementOf(m1)]], { more: [[3, 'tag:amd.com,2025:snp-corim-profile']] }),
    ],
    [
      'reference/form',
      'whose reference value has a third member',
      () => corim([[measurementOf(m1)]], { beside: [new Map()] }),
    ],
    [
      'reference/unsupported',
      'of another class',
      () => corim([[measurementOf(m1)]], { environment: environmentOf('00'.repeat(16)) }),
    ],
    [
      'reference/unsupported',
      'with a measurement that lists cannot say',
      () => corim([[measurementOf(m1), rawOf(2, '00')]]),
    ],
    ['reference/unsupported', 'with members of its own', () => corim([[measurementOf(m1)]], { more: [[9, 1]] })],
    [
      'reference/unsupported',
      'of different least SVNs',
      () => corim([[measurementOf(m1, [minSvn(1)])], [measurementOf(m2, [minSvn(2)])]]),
    ],
    [
      'reference/unsupported',
      'that ties keys to one of two guests',
      () => corim([[measurementOf(m1), rawOf(5, 'a5'.repeat(48))], [measurementOf(m2)]]),
    ],
    ['reference/form', 'without a measurement', () => corim([[rawOf(8, 'a8'.repeat(32))]])],
    ['reference/form', 'with a digest of another size', () => corim([[measurementOf('11')]])],
    ['reference/form', 'with host data of another size', () => corim([[measurementOf(m1), rawOf(8, 'a8')]])],
    ['reference/form', 'that is no CBOR', async () => signedCorim(acme.signingKey, utf8('hello'))],
    ['reference/form', 'that is no COSE', async () => new Uint8Array([0x83, 1, 2, 3])],
  ])('%s: one %s', async (code, _what, mint) => {
    expect(await codeOfPromise(judge(await mint(), values))).toBe(code)
  })

  /** A manifest with this list of tags; one CoMID with this list of reference values. */
  const ofTags = (...list: readonly Cbor[]) =>
    signedCorim(
      acme.signingKey,
      encodeCbor({
        tag: 501,
        value: new Map<number, Cbor>([
          [0, 'image'],
          [1, list],
        ]),
      }),
    )
  const ofRecords = (...records: readonly Cbor[]) =>
    ofTags({ tag: 506, value: encodeCbor(new Map<number, Cbor>([[4, new Map<number, Cbor>([[0, records]])]])) })
  const ofGuest = (...values: readonly (readonly [number, Cbor])[]) =>
    ofRecords([
      environmentOf(),
      [
        new Map<number, Cbor>([
          [0, 0],
          [1, new Map<number, Cbor>(values)],
        ]),
      ],
    ])
  const digest = new Uint8Array(48)
  const classOf = (one: Cbor): Cbor => new Map<number, Cbor>([[0, new Map<number, Cbor>([[0, one]])]])

  test.each<[string, string, () => Promise<Uint8Array>]>([
    ['ok', 'with one digest', () => ofGuest([2, [[7, digest]]])],
    ['reference/form', 'without a tag', () => ofTags()],
    ['reference/form', 'whose tag is another', () => ofTags({ tag: 505, value: new Uint8Array() })],
    ['reference/form', 'whose CoMID is no byte string', () => ofTags({ tag: 506, value: 'text' })],
    ['reference/form', 'whose CoMID is no CBOR', () => ofTags({ tag: 506, value: new Uint8Array([0xff]) })],
    ['reference/form', 'without a reference value', () => ofRecords()],
    ['reference/form', 'whose reference value is no list', () => ofRecords(environmentOf())],
    ['reference/form', 'whose reference value has one member', () => ofRecords([environmentOf()])],
    ['reference/form', 'without a measurement of its guest', () => ofRecords([environmentOf(), []])],
    ['reference/form', 'without a digest', () => ofGuest([2, []])],
    ['reference/unsupported', 'with a digest of SHA-256', () => ofGuest([2, [[1, digest]]])],
    ['reference/form', 'with a digest of three members', () => ofGuest([2, [[7, digest, 1]]])],
    ['reference/form', 'with a digest that is text', () => ofGuest([2, [[7, 'a'.repeat(48)]]])],
    ['reference/form', 'with an exact SVN', () => ofGuest([2, [[7, digest]]], [1, { tag: 552, value: 4 }])],
    ['reference/form', 'with a least SVN of 33 bits', () => ofGuest([2, [[7, digest]]], minSvn(2 ** 32))],
    ['reference/form', 'with a negative least SVN', () => ofGuest([2, [[7, digest]]], minSvn(-1))],
    [
      'reference/form',
      'with a least SVN that is text',
      () => ofGuest([2, [[7, digest]]], [1, { tag: 553, value: '4' }]),
    ],
    [
      'reference/unsupported',
      'whose class is text',
      () => corim([[measurementOf(m1)]], { environment: classOf('d05e6d1b9f464ae2a610ce3e6ee7e153') }),
    ],
    [
      'reference/form',
      'whose class is a UUID of 15 bytes',
      () => corim([[measurementOf(m1)]], { environment: classOf({ tag: 37, value: new Uint8Array(15) }) }),
    ],
    ['reference/form', 'whose time is text', () => corim([[measurementOf(m1)]], { validity: new Map([[1, '2030']]) })],
    ['reference/form', 'whose time is negative', () => corim([[measurementOf(m1)]], { validity: new Map([[1, -1]]) })],
    [
      'reference/form',
      'whose time is beyond the year 9999',
      () => corim([[measurementOf(m1)]], { validity: new Map([[1, 253_402_300_800]]) }),
    ],
  ])('%s: one %s', async (code, _what, mint) => {
    expect(await codeOfPromise(judge(await mint(), values))).toBe(code)
  })

  // Profiles of others: draft-ydb-rats-cca-endorsements, draft-cds-rats-intel-corim-profile.
  test.each<[string, Parameters<typeof corimPayload>[1]]>([
    [
      'of an Arm CCA platform, by its profile',
      { more: [[3, { tag: 32, value: 'tag:arm.com,2025:cca_platform#1.0.0' }]] },
    ],
    ['of Arm CCA realms, by its profile', { more: [[3, { tag: 32, value: 'tag:arm.com,2025:cca_realm#1.0.0' }]] }],
    ['of an Arm CCA platform, by its class', { environment: classOf({ tag: 600, value: new Uint8Array(32) }) }],
    ['of Intel TDX, by its class', { environment: classOf({ tag: 111, value: fromHex('6086480186f84d01050502') }) }],
    ['of Intel TDX, by its profile', { more: [[3, { tag: 111, value: fromHex('6086480186f84d01100100') }]] }],
  ])('one %s is refused whole, never read as if it were of SEV-SNP', async (_what, options) => {
    expect(await codeOfPromise(judge(await corim([[measurementOf(m1)]], options), values))).toBe(
      'reference/unsupported',
    )
  })

  describe('on P-384', () => {
    const payload = corimPayload([[measurementOf(m1)]])
    const judge384 = (signed: Uint8Array, publishers: readonly Publisher[] = [publisher384]) =>
      verifyReference({ signed, values }, publishers, testTime)

    test('counts when a publisher of such a key signed it', async () => {
      const { values: found, provenance } = await judge384(await signedCorim384(payload), [...trusted(), publisher384])
      expect(found.snp!.measurements).toEqual([m1])
      expect(provenance).toMatchObject({ source: 'corim', publisher: 'vendor', key: thumbprint(publisher384.key) })
    })

    test('does not count of another key, under another algorithm, or with a bit changed', async () => {
      const good = await signedCorim384(payload)
      const last = good.length - 1
      for (const [code, signed] of [
        ['reference/publisher', await signedCorim384(payload, -35, ccaKeys.other)],
        ['reference/form', await signedCorim384(payload, -7)],
        ['reference/form', await signedCorim384(payload, -8)],
        ['reference/form', await signedCorim384(payload, -36)],
        ['reference/publisher', good.map((byte, i) => (i === last ? byte ^ 1 : byte))],
        ['reference/publisher', await signedCorim(acme.signingKey, payload)],
      ] as const)
        expect(await codeOfPromise(judge384(signed))).toBe(code)
      expect(await codeOfPromise(judge384(good, trusted()))).toBe('reference/publisher')
    })

    test('a statement in an envelope counts alike', async () => {
      const signed = await signedStatement384(statementOf(values))
      expect((await judge384(signed, [...trusted(), publisher384])).provenance.publisher).toBe('vendor')
      expect(await codeOfPromise(judge384(signed, trusted()))).toBe('reference/publisher')
    })

    test('what is broken here is no signature of a stranger', async () => {
      const bug = { alias: 'x', key: { kty: 'EC', crv: 'P-384' } } as unknown as Publisher
      await expect(judge384(await signedCorim384(payload), [bug])).rejects.toBeInstanceOf(TypeError)
      await expect(judge384(await signedStatement384(statementOf(values)), [bug])).rejects.toBeInstanceOf(TypeError)
    })
  })

  test('does not stand alone', async () => {
    const signed = await corim([[measurementOf(m1)]])
    expect(await codeOfPromise(judge(signed))).toBe('reference/values')
    expect(await codeOfPromise(judge(signed, canonicalJson({})))).toBe('reference/values')
  })

  test('any bytes, signed or not, are values or a Failure', async () => {
    const payload = corimPayload([[measurementOf(m1), rawOf(8, 'a8'.repeat(32))]], {
      validity: validityOf(1, testTime + 1),
    })
    const onlyFailures = async (signed: Uint8Array) => {
      try {
        await judge(signed, values)
      } catch (error) {
        if (!isFailure(error)) throw error
      }
    }
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), onlyFailures), { numRuns: 200 })
    await fc.assert(
      fc.asyncProperty(fc.nat(payload.length - 1), fc.nat(255), async (at, byte) => {
        const changed = payload.slice()
        changed[at] = byte
        await onlyFailures(await signedCorim(acme.signingKey, changed))
      }),
      { numRuns: 200 },
    )
  })
})

describe('differences', () => {
  test('of lists are their items, of other members their values, of a kind the whole', () => {
    const before = testReferenceValues()
    const after = testReferenceValues({ measurements: ['cd'.repeat(48)], allowSmt: true })
    expect(diffReferenceValues(before, after)).toEqual([
      ...(before.snp!.allowSmt === true ? [] : [{ path: 'snp.allowSmt', before: 'false', after: 'true' }]),
      { path: 'snp.measurements', before: `"${testMeasurement}"`, after: null },
      { path: 'snp.measurements', before: null, after: `"${'cd'.repeat(48)}"` },
    ])
    expect(diffReferenceValues(before, before)).toEqual([])
    expect(diffReferenceValues({}, before).map(({ path, before: left }) => [path, left])).toEqual([['snp', null]])
  })
})
