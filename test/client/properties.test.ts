import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import type { Shape } from '#core/encoding/shape.js'
import { isFailure } from '#core/failure.js'
import { anyBundleShape, bundleShape } from '#core/wire/bundle.js'
import { clientPolicyShape } from '#core/wire/client-policy.js'
import { nodeDocumentShape } from '#core/wire/node-document.js'
import { claimedReceipt, receiptFileShape } from '#core/wire/receipt.js'
import { trustFileShape } from '#core/wire/trust-file.js'
import { mintNode, mintReceipt, newBroker, policyFor } from './fixtures.js'

const shapes: readonly (readonly [string, Shape<unknown>])[] = [
  ['node document', nodeDocumentShape],
  ['receipt file', receiptFileShape],
  ['bundle', bundleShape],
  ['any bundle', anyBundleShape],
  ['trust file', trustFileShape],
  ['client policy', clientPolicyShape],
]

/** Throws whatever is not a Failure. */
function onlyFailures(read: () => unknown): void {
  try {
    read()
  } catch (error) {
    if (!isFailure(error)) throw error
  }
}

describe.each(shapes)('%s', (_, shape) => {
  test('any JSON is a value or a Failure', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => onlyFailures(() => shape(value as Json, ''))))
  })
  test('any bytes are a value or a Failure', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => onlyFailures(() => shape(parseJson(bytes), ''))),
    )
  })
  test('a type alone is not enough', () => {
    const types = ['claviger/node/v1', 'claviger/receipt-file/v1', 'claviger/bundle/v1', 'claviger/client-policy/v1']
    const rest = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 5 })
    fc.assert(
      fc.property(fc.constantFrom(...types), rest, (type, members) => {
        expect(() => shape({ ...members, type } as Json, '')).toThrow()
      }),
    )
  })
})

describe('near to a valid one', () => {
  let samples: readonly (readonly [Uint8Array, Shape<unknown>])[]
  beforeAll(async () => {
    const broker = await newBroker()
    const node = await mintNode(broker)
    samples = [
      [canonicalJson(node.document), nodeDocumentShape],
      [canonicalJson(await mintReceipt(node)), receiptFileShape],
      [canonicalJson(policyFor(broker.model)), clientPolicyShape],
    ]
  })
  test('any byte changed, anywhere cut', () => {
    fc.assert(
      fc.property(fc.nat(2), fc.nat(), fc.nat(255), fc.boolean(), (which, place, byte, cut) => {
        const [bytes, shape] = samples[which]!
        const at = place % bytes.length
        const copy = cut ? bytes.slice(0, at) : bytes.slice()
        if (!cut) copy[at] = byte
        onlyFailures(() => shape(parseJson(copy), ''))
      }),
      { numRuns: 300 },
    )
  })
  test('any payload in a receipt’s envelope', () => {
    fc.assert(
      fc.property(fc.base64String(), (payload) =>
        onlyFailures(() => claimedReceipt({ payloadType: 'x', payload, signatures: [] })),
      ),
    )
  })
})
