import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { randomBytes, sha384 } from '#core/crypto/hash.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { canonicalJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { initDataField, kbsReportData } from '#keybroker/kbs/binding.js'
import { encodeKbsError, kbsStatuses } from '#keybroker/kbs/failures.js'
import { encryptResource } from '#keybroker/kbs/jwe.js'
import { parseAttestation, parseRequest } from '#keybroker/kbs/messages.js'
import { isOwnersPath, modelKeyOf, parseResourcePath } from '#keybroker/kbs/resource.js'
import { parseSnpEvidence, verifyNoDevices } from '#keybroker/kbs/snp-evidence.js'
import { parseTeeKey } from '#keybroker/kbs/tee-key.js'
import { issueToken, verifyToken } from '#keybroker/kbs/token.js'
import { attestation, clientKey, clientReportData, openJwe } from '#test/fakes/kbs-client.js'
import { outside } from '#test/fakes/outside.js'
import { testPlatform, testTime } from '#test/fakes/platform.js'

const teeKey = parseTeeKey(clientKey('P-256').jwk)

async function report(): Promise<Uint8Array> {
  return fromBase64((await (await testPlatform()).attest(new Uint8Array(64).fill(3))).report)
}

describe('the binding rule', () => {
  test('canonicalises and hashes as the published vector does', () => {
    // trustee, attestation-service/src/lib.rs, test of the runtime data's digest
    const vector = { b: 1, a: 'test', c: { d: 'e' } }
    expect(toHex(sha384(canonicalJson(vector)))).toBe(
      'e71ce8e70d814ba6639c3612ebee0ff1f76f650f8dbb5e47157e0f3f525cd22c4597480a186427c813ca941da78870c3',
    )
  })

  test.each(['P-256', 'P-521', 'RSA'] as const)('gives what an independent client puts into its report: %s', (kind) => {
    const { jwk } = clientKey(kind)
    for (const additional of ['', '{}', '{"b":1,"a":2}']) {
      const data = { nonce: 'bm9uY2U=', teeKey: parseTeeKey(jwk), additionalEvidence: additional }
      expect(toHex(kbsReportData(data))).toBe(toHex(clientReportData('bm9uY2U=', jwk, additional)))
    }
  })

  test('takes device evidence as text: another order of members is another digest', () => {
    const data = (additionalEvidence: string) => toHex(kbsReportData({ nonce: 'n', teeKey, additionalEvidence }))
    expect(data('{"a":1,"b":2}')).not.toBe(data('{"b":2,"a":1}'))
  })

  test.each([
    ['algorithm = "sha256"\n', true],
    ['version="0.1.0"\nalgorithm = \'sha256\' # which\n[data]\nalgorithm = "sha512"\n', true],
    ['version="0.1.0"\n[data]\nalgorithm = "sha256"\n', false],
    ['algorithm = "sha256"\nalgorithm = "sha256"\n', false],
    ['algorithm = "sha512"\n', false],
    ['', false],
  ])('reads the algorithm of init-data %j: %s', (text, good) => {
    if (good) expect(initDataField('snp', text)).toHaveLength(32)
    else expect(() => initDataField('snp', text)).toThrow(expect.objectContaining({ code: 'kbs/init-data' }))
  })
})

describe('SEV-SNP evidence in its struct form', () => {
  const read = (bytes: Uint8Array) =>
    parseSnpEvidence(parseAttestation(utf8(attestation('n', clientKey('P-256').jwk, bytes, {}))).primaryEvidence)

  test('is the report again, byte for byte', async () => {
    for (const options of [{}, { product: 'Turin' as const }]) {
      const platform = await testPlatform(options)
      const bytes = fromBase64((await platform.attest(new Uint8Array(64).fill(9))).report)
      expect(toHex(read(bytes).report)).toBe(toHex(bytes))
    }
  })

  test('keeps numbers of 64 bits whole', async () => {
    const bytes = await report()
    const view = new DataView(bytes.buffer, bytes.byteOffset)
    view.setBigUint64(0x08, 2n ** 64n - 1n, true)
    view.setBigUint64(0x40, 2n ** 53n + 1n, true)
    expect(toHex(read(bytes).report)).toBe(toHex(bytes))
  })

  test.each([
    ['a number of more than 64 bits', '"policy":18446744073709551616'],
    ['a marked number of the sender’s own', '"policy":"\\ue00018446744073709551615"'],
    ['a text', '"policy":"1"'],
    ['a fraction', '"policy":1.5'],
    ['a negative number', '"policy":-1'],
  ])('refuses %s', async (_name, change) => {
    const text = attestation('n', clientKey('P-256').jwk, await report(), {}).replace(/"policy":\d+/, change)
    const parse = () => parseSnpEvidence(parseAttestation(utf8(text)).primaryEvidence)
    expect(parse).toThrow(expect.objectContaining({ code: expect.stringMatching(/^kbs\/(message|evidence)$/) }))
  })

  test('refuses an unknown field, a missing one and one of another size', async () => {
    const text = attestation('n', clientKey('P-256').jwk, await report(), {})
    for (const [from, to] of [
      ['"vmpl":0', '"vmpl":0,"more":0'],
      ['"vmpl":0,', ''],
      ['"image_id":[0,', '"image_id":[0,0,'],
    ] as const) {
      const changed = text.replace(from, to)
      expect(changed).not.toBe(text)
      expect(() => parseSnpEvidence(parseAttestation(utf8(changed)).primaryEvidence)).toThrow(
        expect.objectContaining({ code: 'kbs/evidence' }),
      )
    }
  })

  const place = outside('vectors')
  test.skipIf(place === undefined)(
    'rebuilds every report that real hardware made and that sets no reserved bytes',
    () => {
      const folder = join(place!, 'sev-snp')
      const reports = readdirSync(folder)
        .map((name) => join(folder, name, 'report.bin'))
        .filter(existsSync)
        .map((path) => new Uint8Array(readFileSync(path)))
        .filter((bytes) => bytes.length === 1184)
      const same = reports.filter((bytes) => toHex(read(bytes).report) === toHex(bytes))
      expect(reports.length).toBeGreaterThan(5)
      expect(same.length).toBe(reports.length)
    },
  )

  test('comes with no devices', () => {
    verifyNoDevices('')
    verifyNoDevices('{}')
    for (const text of ['{"nvidia":{}}', '[]', 'null', '{', ' ']) {
      expect(() => verifyNoDevices(text)).toThrow(expect.objectContaining({ code: 'kbs/evidence' }))
    }
  })
})

describe('TEE keys', () => {
  const ec = clientKey('P-256').jwk
  const rsa = clientKey('RSA').jwk
  test.each([
    ['RSA1_5', { ...rsa, alg: 'RSA1_5' }],
    ['a curve that is not one of the two', { ...ec, crv: 'P-384' }],
    ['a coordinate that is too short', { ...ec, x: ec.x!.slice(0, 40) }],
    ['a coordinate with padding', { ...ec, x: `${ec.x}=` }],
    ['a small modulus', { ...rsa, n: rsa.n!.slice(0, 100) }],
    ['another exponent', { ...rsa, e: 'Aw' }],
    ['no algorithm', { kty: 'EC', crv: 'P-256', x: ec.x!, y: ec.y! }],
    ['another key type', { kty: 'AKP', alg: 'ML-KEM-768+A192KW', pub: 'AA' }],
    ['a list', []],
  ])('are refused with %s', (_name, value) => {
    expect(() => parseTeeKey(value as never)).toThrow(expect.objectContaining({ code: 'kbs/tee-key' }))
  })
})

describe('a resource’s JWE', () => {
  test.each(['P-256', 'P-521', 'RSA'] as const)('opens for a client that writes the header again: %s', async (kind) => {
    const key = clientKey(kind)
    const resource = utf8('a resource')
    const text = await encryptResource(parseTeeKey(key.jwk), resource, randomBytes)
    expect(openJwe(key, text).toString()).toBe('a resource')
    expect(Object.keys(JSON.parse(text))).toEqual(['protected', 'encrypted_key', 'iv', 'ciphertext', 'tag'])
  })

  test('has a header of one spelling', async () => {
    const header = async (kind: 'P-256' | 'RSA') => {
      const text = await encryptResource(parseTeeKey(clientKey(kind).jwk), utf8('x'), randomBytes)
      return Buffer.from(JSON.parse(text).protected, 'base64url').toString()
    }
    expect(await header('P-256')).toMatch(
      /^\{"alg":"ECDH-ES\+A256KW","enc":"A256GCM","epk":\{"crv":"P-256","kty":"EC","x":"[\w-]{43}","y":"[\w-]{43}"\}\}$/,
    )
    expect(await header('RSA')).toBe('{"alg":"RSA-OAEP-256","enc":"A256GCM"}')
  })

  test('opens with an independent JOSE library too', async () => {
    const { flattenedDecrypt } = await import('jose')
    for (const kind of ['P-256', 'P-521', 'RSA'] as const) {
      const key = clientKey(kind)
      const jwe = JSON.parse(await encryptResource(parseTeeKey(key.jwk), utf8('a resource'), randomBytes))
      const { plaintext } = await flattenedDecrypt(jwe, key.privateKey)
      expect(Buffer.from(plaintext).toString()).toBe('a resource')
    }
  })

  test('opens for no other key', async () => {
    const text = await encryptResource(teeKey, utf8('x'), randomBytes)
    expect(() => openJwe(clientKey('P-256'), text)).toThrow()
  })
})

describe('a token', async () => {
  const { key: signer } = await generateSigningKey('ES256')
  const about = {
    result: {
      status: 'affirming' as const,
      platform: 'hardware' as const,
      vector: { hardware: 2 },
      policyId: 'p',
      claims: {},
    },
    tee: 'snp' as const,
    data: { nonce: 'n', teeKey, additionalEvidence: '' },
    reportData: new Uint8Array(64),
    hostData: null,
    id: 'AAAAAAAAAAAAAAAAAAAAAA',
    at: testTime,
  }

  test('says for which key it was issued, for five minutes', async () => {
    const token = await issueToken(signer, about)
    expect((await verifyToken(token, signer.publicKey, testTime + 299)).teeKey).toEqual(teeKey)
    for (const at of [testTime - 1, testTime + 300]) {
      await expect(verifyToken(token, signer.publicKey, at)).rejects.toMatchObject({ code: 'kbs/token' })
    }
  })

  test('is refused with any one character changed, and under another key', async () => {
    const token = await issueToken(signer, about)
    await fc.assert(
      fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom('A', 'b', '-', '.'), async (at, other) => {
        if (token[at] === other) return
        const changed = token.slice(0, at) + other + token.slice(at + 1)
        await expect(verifyToken(changed, signer.publicKey, testTime)).rejects.toMatchObject({ code: 'kbs/token' })
      }),
    )
    const { key: another } = await generateSigningKey('ES256')
    await expect(verifyToken(token, another.publicKey, testTime)).rejects.toMatchObject({ code: 'kbs/token' })
    const head = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT', kid: signer.id })).toString('base64url')
    const none = `${head}.${token.split('.')[1]}.`
    await expect(verifyToken(none, signer.publicKey, testTime)).rejects.toMatchObject({ code: 'kbs/token' })
  })
})

describe('resource paths', () => {
  test.each(['a/b/c', 'default/key/1', 'A-1/b_2/c.d'])('%s is one', (text) => {
    expect(parseResourcePath(text).text).toBe(text)
  })
  test.each([
    '',
    'a',
    'a/b',
    'a/b/c/d',
    'a//c',
    '../b/c',
    'a/../c',
    'a/.x/c',
    'a/b/..',
    'a/b%2e/c',
    'a/b c/d',
    'a/b/é',
  ])('%j is none', (text) => {
    expect(() => parseResourcePath(text)).toThrow(expect.objectContaining({ code: 'kbs/path' }))
  })
  test('of an owner begin with the thumbprint of a key', () => {
    const owner = 'A'.repeat(43)
    expect(modelKeyOf(parseResourcePath(`${owner}/whisper/12`))).toEqual({ model: `${owner}/whisper`, version: 12 })
    for (const text of [`${owner}/whisper/0`, `${owner}/whisper/v1`, `${owner}/whisper/01`]) {
      expect(isOwnersPath(parseResourcePath(text))).toBe(true)
      expect(modelKeyOf(parseResourcePath(text))).toBeNull()
    }
    expect(isOwnersPath(parseResourcePath('default/key/1'))).toBe(false)
  })
})

describe('parsers of the protocol', () => {
  const parsers = {
    request: (bytes: Uint8Array) => parseRequest(bytes),
    attestation: (bytes: Uint8Array) => parseSnpEvidence(parseAttestation(bytes).primaryEvidence),
    path: (bytes: Uint8Array) => parseResourcePath(Buffer.from(bytes).toString('latin1')),
  }
  test.each(Object.entries(parsers))(
    'answer any bytes with a value or a failure of their own: %s',
    async (_name, parse) => {
      const good = utf8(attestation('n', clientKey('P-256').jwk, await report(), {}))
      const mutated = fc.tuple(fc.nat(good.length - 1), fc.uint8Array({ maxLength: 4 })).map(([at, put]) => {
        const bytes = good.slice()
        bytes.set(put.subarray(0, bytes.length - at), at)
        return bytes
      })
      fc.assert(
        fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.json().map(utf8), mutated), (bytes) => {
          try {
            parse(bytes)
          } catch (error) {
            if (!isFailure(error) || !error.code.startsWith('kbs/')) throw error
          }
        }),
      )
    },
  )

  test('read a message full of quotes and backslashes in linear time', () => {
    // A quadratic reader would need hours and end at the test's time limit.
    const hostile = utf8(`"${'\\"'.repeat(500_000)}`)
    expect(() => parseAttestation(hostile)).toThrow(expect.objectContaining({ code: 'kbs/message' }))
  })
})

describe('error bodies', () => {
  test('have the type and detail that clients parse, for every code', () => {
    for (const [code, status] of Object.entries(kbsStatuses)) {
      const body = JSON.parse(encodeKbsError(code, 'why', status))
      expect(body).toMatchObject({ detail: 'why', code, status })
      expect(body.type).toMatch(/^https:\/\/github\.com\/confidential-containers\/kbs\/errors\/[A-Z][A-Za-z]+$/)
    }
    expect(JSON.parse(encodeKbsError('database/unreachable', 'why', 503)).type).toContain('HTTPFailed')
  })
})
