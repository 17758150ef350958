import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { brokerAppraiser } from '#client/broker-proof.js'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { generateRecipientKey } from '#core/crypto/hpke.js'
import type { Json } from '#core/encoding/json.js'
import { type BrokerDocument, signBrokerDocument } from '#core/wire/broker-document.js'
import {
  type BrokerBinding,
  brokerBindingOf,
  brokerNonceOf,
  brokerProofShape,
  brokerReportDataOf,
  insistOnProof,
  verifyBrokerProof,
} from '#core/wire/broker-proof.js'
import { type BrokerDemand, brokerDemandShape } from '#core/wire/broker-standing.js'
import { payloadDigest } from '#core/wire/statements.js'
import { BrokerDouble } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { writeBlocks } from '#test/fakes/pages.js'
import { testPlatform, testReferenceValues, testRootDigest, testTime } from '#test/fakes/platform.js'

interface Case {
  readonly name: string
  readonly expected: string
  readonly broker: string
  readonly nonce: string
  readonly tenantClass: 'production' | 'development'
  readonly demand: BrokerDemand
  readonly simulatedRoots: readonly string[]
  /** `document` and `evidence` by their places in the lists beside the cases; null where the broker shows nothing */
  readonly proof: { readonly binding: BrokerBinding; readonly document: number; readonly evidence: number } | null
}
interface Vectors {
  readonly format: string
  readonly at: number
  readonly nonce: { readonly keysetDigest: string; readonly salt: string; readonly nonce: string }
  readonly documents: readonly Json[]
  readonly evidence: readonly Json[]
  readonly cases: readonly Case[]
}

const path = 'test/vectors/broker-proof/cases.json'

const run = ({ documents, evidence, at }: Vectors, one: Case) =>
  codeOfPromise(
    (async () => {
      const { broker, nonce, tenantClass, simulatedRoots } = one
      const demand = brokerDemandShape(one.demand as unknown as Json, 'demand')
      const shown = one.proof && {
        ...one.proof,
        document: documents[one.proof.document],
        evidence: evidence[one.proof.evidence],
      }
      const proof = insistOnProof(shown && brokerProofShape(shown as unknown as Json, 'proof'), broker)
      await verifyBrokerProof(proof, { broker, nonce, demand, simulatedRoots, tenantClass, at }, brokerAppraiser())
    })(),
  )

async function fresh(): Promise<{ readonly vectors: Vectors; readonly binding: BrokerBinding }> {
  const platform = await testPlatform()
  const broker = await BrokerDouble.create(() => testTime)
  broker.attester = { platform: 'simulated', attest: platform.attest }
  const nonce = toBase64Url(randomBytes(32))
  const documents: Json[] = []
  const evidence: Json[] = []
  const make = async (changes: Partial<BrokerDocument> = {}, on = platform, answers = nonce) => {
    const { document } = await broker.document(changes)
    const envelope = await signBrokerDocument(document, broker.key)
    const binding = brokerBindingOf(document, payloadDigest(envelope), answers)
    const made = await on.attest(brokerReportDataOf(binding))
    return {
      binding,
      document: documents.push(envelope as unknown as Json) - 1,
      evidence: evidence.push(made as unknown as Json) - 1,
    }
  }
  const honest = await make()
  const swapped = await make({ wrapping: (await generateRecipientKey()).publicKey })
  const stranger = toBase64Url(randomBytes(32))
  const base = {
    broker: broker.id,
    nonce,
    tenantClass: 'development',
    demand: { values: testReferenceValues(), allowOperatorKek: true, keks: undefined },
    simulatedRoots: [testRootDigest],
    proof: honest,
  } as const
  const of = (name: string, expected: string, changes: Partial<Case> = {}): Case => ({
    name,
    expected,
    ...base,
    ...changes,
  })
  const bound = (changes: Partial<BrokerBinding>) => ({ ...honest, binding: { ...honest.binding, ...changes } })
  const operators = { demand: { ...base.demand, allowOperatorKek: false } }
  const kekModel = `${toBase64Url(randomBytes(32))}/kek`
  const known = { ...operators.demand, keks: [kekModel] }
  const released = await make({ kek: 'KEK RELEASED BY BROKER', kekBroker: stranger, kekModel })
  const cases = [
    of('a broker that proves itself', 'ok'),
    of('no evidence where it is demanded', 'broker-proof/absent', { proof: null }),
    of('evidence of another broker', 'broker-proof/broker', { broker: stranger }),
    of('evidence for an earlier nonce', 'broker-proof/nonce', { nonce: stranger }),
    of('an earlier binding with the new nonce written into it', 'broker-proof/evidence', {
      nonce: stranger,
      proof: bound({ nonce: stranger }),
    }),
    of('a document with another wrapping key, which the broker signed', 'broker-proof/document', {
      proof: { ...honest, document: swapped.document },
    }),
    of('the same, with its digest written into the binding', 'broker-proof/evidence', {
      proof: { ...swapped, evidence: honest.evidence },
    }),
    of('a machine that runs something else', 'broker-proof/values', {
      proof: await make({}, await testPlatform({ measurement: 'cd'.repeat(48) })),
    }),
    of('another machine than the demanded one', 'broker-proof/values', {
      demand: { ...base.demand, values: testReferenceValues({ chipIds: ['ab'.repeat(64)] }) },
    }),
    of('simulated evidence for a production tenant', 'broker-proof/simulated', { tenantClass: 'production' }),
    of('simulated evidence under a root that nobody named', 'broker-proof/evidence', { simulatedRoots: [] }),
    of('a document that says more than the evidence', 'broker-proof/standing', {
      proof: await make({ standing: 'ATTESTED BROKER' }),
    }),
    of('a key-encryption key that the operator can use', 'broker-proof/kek', operators),
    of('a key-encryption key that another broker released', 'ok', { demand: known, proof: released }),
    of('one that is released, of an owner whom the asker does not name', 'broker-proof/kek', {
      demand: { ...known, keks: [`${toBase64Url(randomBytes(32))}/kek`] },
      proof: released,
    }),
    of('one that is released, where the asker names none', 'broker-proof/kek', { ...operators, proof: released }),
    of('one that is released and not said which', 'broker-proof/kek', {
      demand: known,
      proof: await make({ kek: 'KEK RELEASED BY BROKER', kekBroker: stranger }),
    }),
    of('a key-encryption key of the operator, where one that is released is named', 'broker-proof/kek', {
      demand: known,
    }),
    of('a binding with another purpose', 'shape/form', {
      proof: bound({ purpose: 'claviger.node.v1' as 'claviger.broker.v1' }),
    }),
  ]
  const salt = toBase64Url(randomBytes(32))
  const keysetDigest = 'ef'.repeat(32)
  const format = 'docs/spec/broker-proof.md'
  const derived = { keysetDigest, salt, nonce: brokerNonceOf(keysetDigest, salt) }
  return { vectors: { format, at: testTime, nonce: derived, documents, evidence, cases }, binding: honest.binding }
}

test('fresh proofs of a broker agree', async () => {
  const { vectors, binding } = await fresh()
  for (const one of vectors.cases) expect(await run(vectors, one), one.name).toBe(one.expected)
  if (!(process.env.CLAVIGER_MINT_VECTORS ?? '').split(',').includes('broker-proof')) return
  writeFileSync(path, `${JSON.stringify(vectors, null, 1)}\n`)
  writeBlocks('broker-proof', [binding])
})

describe('vectors of what a broker shows of itself', () => {
  const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors
  test.each(vectors.cases.map((one) => [one.name, one.expected, one] as const))('%s: %s', async (_, expected, one) => {
    expect(await run(vectors, one)).toBe(expected)
  })
  test('a node’s nonce is made of its keyset and a salt', () => {
    const { keysetDigest, salt, nonce } = vectors.nonce
    expect(brokerNonceOf(keysetDigest, salt)).toBe(nonce)
  })
})
