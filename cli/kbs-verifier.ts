import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Anchors } from '#attest/anchors.js'
import { appraiseEvidence } from '#attest/appraise.js'
import { deployedClaims } from '#attest/ear/deployed-claims.js'
import type { TenantClass } from '#attest/result.js'
import { equal, fromHex, fromUtf8, toBase64 } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure } from '#core/failure.js'
import { chainLengthMax } from '#core/limits.js'
import type { Evidence } from '#core/wire/evidence.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import type { VerifyKbsEvidence } from '#keybroker/kbs/ports.js'
import type { SnpKbsEvidence } from '#keybroker/kbs/snp-evidence.js'

/** What a broker accepts on its KBS route. */
export interface KbsAcceptance {
  readonly anchors: Anchors
  readonly referenceValues: ReferenceValues
  readonly tenantClass: TenantClass
}

const rootsFolder = join(import.meta.dirname, '../attest/snp/roots')

function der(bytes: Uint8Array): Uint8Array {
  if (bytes[0] === 0x30) return bytes
  return parsePem(fromUtf8(bytes), 'CERTIFICATE', 1)[0]!
}

/** The vendor's intermediate and root for an endorsement key that came without them, by the name of its issuer. */
function vendorChain(vek: Uint8Array): readonly Uint8Array[] {
  const issuer = /SEV-(VLEK-)?(Milan|Genoa|Turin)/.exec(Buffer.from(vek).toString('latin1'))
  const [, vlek, product] = issuer ?? []
  if (product === undefined) return []
  const name = `${product.toLowerCase()}-${vlek === undefined ? 'ask' : 'asvk'}-ark.pem`
  return parsePem(readFileSync(join(rootsFolder, name), 'utf8'), 'CERTIFICATE', chainLengthMax)
}

/**
 * The evidence as the verifier takes it. What the client sent along is collateral, never an anchor.
 *
 * throws  kbs/evidence when there is no endorsement key's certificate
 */
function evidenceOf(evidence: SnpKbsEvidence): Evidence {
  const sent = (...types: readonly string[]) => evidence.certificates.find((one) => types.includes(one.type))?.bytes
  const vek = sent('VCEK', 'VLEK')
  if (vek === undefined) throw new Failure<KbsCode>('kbs/evidence', 'cert_chain holds no VCEK or VLEK')
  const [ask, ark] = vendorChain(der(vek))
  const [sentAsk, sentArk, crl] = [sent('ASK', 'ASVK'), sent('ARK'), sent('CRL')]
  const chain = { ask: sentAsk === undefined ? ask : der(sentAsk), ark: sentArk === undefined ? ark : der(sentArk) }
  if (chain.ask === undefined || chain.ark === undefined) {
    throw new Failure<KbsCode>('kbs/evidence', 'cert_chain holds no ASK and ARK, and its VCEK names no vendor')
  }
  return {
    kind: 'snp',
    report: toBase64(evidence.report),
    vek: toBase64(der(vek)),
    ask: toBase64(chain.ask),
    ark: toBase64(chain.ark),
    crl: crl === undefined ? null : toBase64(crl),
  }
}

/**
 * Verifies evidence of the KBS route with the verifier of all other routes. Here the two are joined; the broker knows
 * neither attestation reports nor vendors.
 */
export function kbsVerifier(accepted: KbsAcceptance): VerifyKbsEvidence {
  return async (evidence, expected, at) => {
    const result = await appraiseEvidence(evidenceOf(evidence), accepted.anchors, {
      expectedReportData: expected.reportData,
      referenceValues: accepted.referenceValues,
      tenantClass: accepted.tenantClass,
      at,
    })
    const { claims, platform, status } = result
    const worst = result.checks.find((one) => one.status === result.status)
    if (claims === null || platform === 'unverified' || (status !== 'affirming' && status !== 'warning')) {
      const why =
        worst === undefined ? 'no check was passed' : `${worst.id}: expected ${worst.expected}, found ${worst.found}`
      throw new Failure<KbsCode>('kbs/attestation', why)
    }
    if (expected.hostData !== null && !equal(fromHex(claims.hostData), expected.hostData)) {
      throw new Failure<KbsCode>('kbs/init-data', 'the report was not started with this init-data')
    }
    return {
      status,
      platform,
      vector: result.vector,
      policyId: result.policy,
      claims: (deployedClaims(claims) as { readonly snp: Json }).snp,
    }
  }
}
