import { beforeAll, describe, expect, test } from 'vitest'
import { brokerAppraiser } from '#client/broker-proof.js'
import { answerCard } from '#client/card.js'
import { judged } from '#client/steps.js'
import { receiptSteps, verifyReceipt } from '#client/verify-receipt.js'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { generateRecipientKey } from '#core/crypto/hpke.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { reportDataOf } from '#core/wire/binding.js'
import { signBrokerDocument } from '#core/wire/broker-document.js'
import {
  type BrokerProof,
  brokerBindingOf,
  brokerReportDataOf,
  type ExpectedBroker,
  insistOnProof,
  verifyBrokerProof,
} from '#core/wire/broker-proof.js'
import { payloadDigest } from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'
import { BrokerDouble } from '#test/fakes/broker-double.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'
import { testPlatform, testReferenceValues, testRootDigest, testTime } from '#test/fakes/platform.js'
import { asJson, codeOfNode, codeOfReceipt, mintNode, mintReceipt, policyFor, proofTo, trustIn } from './fixtures.js'

const nonceOf = () => toBase64Url(randomBytes(32))
const demand = { values: testReferenceValues(), allowOperatorKek: true, keks: undefined }

async function attested(): Promise<BrokerDouble> {
  const broker = await BrokerDouble.create(() => testTime)
  const platform = await testPlatform()
  broker.attester = { platform: 'simulated', attest: platform.attest }
  const attestedBrokers = [{ broker: broker.id, demand }]
  broker.trust = await broker.signTrust({ attestedBrokers })
  return broker
}

let broker: BrokerDouble
let nonce: string
beforeAll(async () => {
  broker = await attested()
  nonce = nonceOf()
})

const expected = (changes: Partial<ExpectedBroker> = {}): ExpectedBroker => ({
  broker: broker.id,
  nonce,
  demand,
  simulatedRoots: [testRootDigest],
  tenantClass: 'development',
  at: testTime,
  ...changes,
})
const judge = (proof: BrokerProof, changes: Partial<ExpectedBroker> = {}) =>
  codeOfPromise(verifyBrokerProof(proof, expected(changes), brokerAppraiser()))

describe('what a broker shows of itself', () => {
  test('stands for its document, with the keys that its evidence binds', async () => {
    const proven = await verifyBrokerProof(await broker.prove(nonce), expected(), brokerAppraiser())
    expect(proven).toMatchObject({ platform: 'simulated', standing: 'SIMULATED BROKER (NOT HARDWARE)' })
    expect(proven.document.wrapping).toEqual(broker.wrapping)
  })

  test('is refused when it answers an earlier nonce', async () => {
    const earlier = await broker.prove(nonceOf())
    expect(await judge(earlier)).toBe('broker-proof/nonce')
    // Who writes the new nonce into old evidence has evidence of something else.
    expect(await judge({ ...earlier, binding: { ...earlier.binding, nonce } })).toBe('broker-proof/evidence')
  })

  test('is refused when it is another broker’s', async () => {
    const other = await attested()
    const foreign = await other.prove(nonce)
    expect(await judge(foreign)).toBe('broker-proof/broker')
    expect(await judge({ ...foreign, binding: { ...foreign.binding, broker: broker.id } })).toBe('broker/key')
    const { evidence } = foreign
    expect(await judge({ ...(await broker.prove(nonce)), evidence })).toBe('broker-proof/evidence')
  })

  test('is refused when a relay exchanged a key of the document', async () => {
    const proof = await broker.prove(nonce)
    const { document } = await broker.document()
    const swapped = { ...document, wrapping: (await generateRecipientKey()).publicKey }
    const stranger = await attested()
    // Signed by nobody who may.
    const forged = await signBrokerDocument(swapped, stranger.key)
    expect(await judge({ ...proof, document: forged })).toMatch(/^dsse\//)
    // Signed by the broker's own key, which was stolen out of a copy of its disk: the evidence has never seen that document.
    const stolen = await signBrokerDocument(swapped, broker.key)
    expect(await judge({ ...proof, document: stolen })).toBe('broker-proof/document')
    const rebound = { ...proof.binding, document_digest: payloadDigest(stolen) }
    expect(await judge({ ...proof, document: stolen, binding: rebound })).toBe('broker-proof/evidence')
  })

  test('is refused for a machine that runs something else, with this very key', async () => {
    const elsewhere = await testPlatform({ measurement: 'cd'.repeat(48) })
    const { document, envelope } = await broker.document()
    const binding = brokerBindingOf(document, payloadDigest(envelope), nonce)
    const evidence = await elsewhere.attest(brokerReportDataOf(binding))
    expect(await judge({ binding, document: envelope, evidence })).toBe('broker-proof/values')
  })

  test('is refused for another machine than the demanded one, as where a copy of its disk runs elsewhere', async () => {
    const chipIds = ['ab'.repeat(64)]
    const values = testReferenceValues({ chipIds })
    expect(await judge(await broker.prove(nonce), { demand: { ...demand, values } })).toBe('broker-proof/values')
  })

  test('is no evidence of a node, and a node’s is none of it', async () => {
    const node = await mintNode(broker)
    const proof = await broker.prove(nonce)
    expect(await judge({ ...proof, evidence: node.document.release.evidence as BrokerProof['evidence'] })).toBe(
      'broker-proof/evidence',
    )
    const { binding } = node.document.release
    expect(brokerReportDataOf(proof.binding)).not.toEqual(reportDataOf(binding))
  })

  test('is refused when it is simulated, for a production tenant and where nobody named its root', async () => {
    const proof = await broker.prove(nonce)
    expect(await judge(proof, { tenantClass: 'production' })).toBe('broker-proof/simulated')
    expect(await judge(proof, { simulatedRoots: [] })).toBe('broker-proof/evidence')
  })

  test('is refused when the document says more than the evidence', async () => {
    const { document } = await broker.document({ standing: 'ATTESTED BROKER' })
    const envelope = await signBrokerDocument(document, broker.key)
    const binding = brokerBindingOf(document, payloadDigest(envelope), nonce)
    const evidence = await (await testPlatform()).attest(brokerReportDataOf(binding))
    expect(await judge({ binding, document: envelope, evidence })).toBe('broker-proof/standing')
  })

  test('is not enough where its operator can use the key-encryption key, unless that is allowed', async () => {
    const proof = await broker.prove(nonce)
    expect(await judge(proof, { demand: { ...demand, allowOperatorKek: false } })).toBe('broker-proof/kek')
  })

  test('is missed where there is none', () => {
    expect(codeOf(() => insistOnProof(null, broker.id))).toBe('broker-proof/absent')
  })
})

describe('a reader of a node', () => {
  const demanding = (of: BrokerDouble, changes: Partial<Trust> = {}) =>
    trustIn(of, { brokers: [{ alias: 'broker', key: of.key.publicKey as Ed25519Jwk, demand }], ...changes })
  const policy = (of: BrokerDouble, allow = true) => policyFor(of.model, { dangerousAllowSimulated: allow })

  test('sees what the broker proved to it, on the card too', async () => {
    const node = await mintNode(broker)
    expect(await codeOfNode(node.document, { trust: demanding(broker), policy: policy(broker) })).toBe('ok')
    const proven = await mintReceipt(node, { broker: 'SIMULATED BROKER (NOT HARDWARE)' })
    const input = { trust: demanding(broker), policy: null, dangerousAllowSimulated: true, bodies: null }
    const verdict = await judged(receiptSteps, (steps) => verifyReceipt(asJson(proven), input, steps))
    if (!verdict.ok) throw verdict.failure
    const card = answerCard(verdict.value, input.trust)
    expect(card.sentence).toContain('by broker broker (SIMULATED BROKER (NOT HARDWARE))')
    expect(card.facts.find(({ label }) => label === 'broker')?.source).toBe('simulated')
  })

  test('who demands nothing is told UNATTESTED BROKER, whatever the broker says of itself', async () => {
    const receipt = await mintReceipt(await mintNode(broker), { broker: 'SIMULATED BROKER (NOT HARDWARE)' })
    const input = { trust: trustIn(broker), policy: null, dangerousAllowSimulated: true, bodies: null }
    const verdict = await judged(receiptSteps, (steps) => verifyReceipt(asJson(receipt), input, steps))
    if (!verdict.ok) throw verdict.failure
    expect(answerCard(verdict.value, input.trust).sentence).toContain('(UNATTESTED BROKER)')
  })

  test('who demands evidence is not served by a broker that has none any more', async () => {
    const downgraded = await attested()
    downgraded.attester = null
    const node = await mintNode(downgraded)
    expect(await codeOfNode(node.document, { trust: demanding(downgraded), policy: policy(downgraded) })).toBe(
      'broker-proof/absent',
    )
  })

  test('refuses a proof that was made for another node', async () => {
    const node = await mintNode(broker)
    const other = await mintNode(broker)
    const stale = { ...node.document, broker: other.document.broker }
    expect(await codeOfNode(stale, { trust: demanding(broker), policy: policy(broker) })).toBe('broker-proof/nonce')
    const salted = { ...node.document, broker: await proofTo(broker, other.document.keyset) }
    expect(await codeOfNode(salted, { trust: demanding(broker), policy: policy(broker) })).toBe('broker-proof/nonce')
  })

  test('refuses a lease that says another standing than was proven', async () => {
    const lying = await attested()
    lying.tampering.lease = (lease) => ({ ...lease, standing: 'ATTESTED BROKER' })
    const { document } = await mintNode(lying)
    expect(await codeOfNode(document, { trust: demanding(lying), policy: policy(lying) })).toBe(
      'client/broker-standing',
    )
  })

  test('refuses a receipt that says more, or less, of the broker than was demanded and proven', async () => {
    const node = await mintNode(broker)
    const trust = demanding(broker)
    for (const standing of ['ATTESTED BROKER', 'UNATTESTED BROKER'] as const)
      expect(await codeOfReceipt(await mintReceipt(node, { broker: standing }), { trust })).toBe(
        'client/broker-standing',
      )
    const plain = await BrokerDouble.create(() => testTime)
    const receipt = await mintReceipt(await mintNode(plain), { broker: 'ATTESTED BROKER' })
    expect(await codeOfReceipt(receipt, { trust: trustIn(plain) })).toBe('client/broker-standing')
  })
})
