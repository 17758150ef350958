import { beforeAll, describe, expect, test } from 'vitest'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { type Envelope, preAuthenticationEncoding } from '#core/dsse.js'
import { parseCheckpoint } from '#core/tlog/checkpoint.js'
import { cosignedMessage } from '#core/tlog/cosignature.js'
import { isKeyName } from '#core/tlog/vkey.js'
import { signBrokerDocument } from '#core/wire/broker-document.js'
import { signBeat, signLease, verifyBeat, verifyLease } from '#core/wire/lease.js'
import { signOwnerQuery, verifyOwnerQuery } from '#core/wire/owner-query.js'
import { signReceipt, verifyReceiptSignature } from '#core/wire/receipt.js'
import {
  type StatementKind,
  signHostStatement,
  signStatement,
  statementShapes,
  verifyHostStatement,
  verifyStatement,
} from '#core/wire/statements.js'
import { signTrust, verifyTrustFile } from '#core/wire/trust-file.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'

// One key signs everything here, as no key should: what keeps the signatures apart is their type alone.
let key: SigningKey
let envelopes: ReadonlyMap<string, Envelope>
const nothing = {} as never
const kinds = Object.keys(statementShapes) as StatementKind[]

beforeAll(async () => {
  key = (await generateSigningKey('Ed25519')).key
  const made: [string, Envelope][] = [
    ['lease', await signLease(nothing, key)],
    ['beat', await signBeat(nothing, key)],
    ['receipt', await signReceipt(nothing, key)],
    ['broker', await signBrokerDocument(nothing, key)],
    ['owner query', await signOwnerQuery(nothing, key)],
    ['host', await signHostStatement(nothing, key)],
    ['trust file', (await signTrust(nothing, key)).trust],
  ]
  for (const kind of kinds) made.push([`statement ${kind}`, await signStatement(kind, nothing, key)])
  envelopes = new Map(made)
})

const publicKey = () => key.publicKey as Ed25519Jwk
const readers: Readonly<Record<string, (envelope: Envelope) => Promise<unknown>>> = {
  lease: (envelope) => verifyLease(envelope, [publicKey()]),
  beat: (envelope) => verifyBeat(envelope, [publicKey()]),
  receipt: (envelope) => verifyReceiptSignature(envelope, publicKey()),
  'owner query': (envelope) =>
    verifyOwnerQuery(envelope, { value: { keys: [publicKey()] } } as never, 'the broker', 1_700_000_000),
  host: (envelope) => verifyHostStatement(envelope, publicKey()),
  'trust file': (envelope) => verifyTrustFile({ author: publicKey(), trust: envelope }, null, 1_700_000_000),
  ...Object.fromEntries(
    kinds.map((kind) => [`statement ${kind}`, (envelope: Envelope) => verifyStatement(kind, envelope, [publicKey()])]),
  ),
}

describe('a signature of one kind is never taken for one of another', () => {
  test.each(Object.keys(readers))('by whoever reads a %s', async (name) => {
    for (const [made, envelope] of envelopes) {
      const code = await codeOfPromise(readers[name]!(envelope))
      // Its own kind is read on, as far as its contents, of which there are none here.
      if (made === name) expect([made, code]).toEqual([made, 'shape/missing'])
      else expect([made, code]).toEqual([made, 'dsse/type'])
    }
  })

  test('no two kinds have one type', () => {
    const types = [...envelopes.values()].map((envelope) => envelope.payloadType)
    expect(new Set(types).size).toBe(types.length)
  })

  test('what is signed in an envelope is no note of a log, and no cosignature', () => {
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
    for (const { payloadType } of envelopes.values()) {
      expect(text(preAuthenticationEncoding(payloadType, new Uint8Array(0)))).toMatch(/^DSSEv1 \d+ application\/vnd/)
    }
    // A note begins with the name of its log on a line of its own: no name of a key has a space in it.
    expect(isKeyName('DSSEv1 36 application/vnd.claviger.lease+json 0 ')).toBe(false)
    const cosigned = text(cosignedMessage(1, 'cosignature/v1\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n'))
    const line = '\n— cosignature/v1 AAAAAAAA\n'
    expect(codeOf(() => parseCheckpoint(cosigned + line))).toBe('tlog/checkpoint')
  })
})
