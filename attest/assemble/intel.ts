import { crlOf } from '#attest/assemble/amd.js'
import { Wanted } from '#attest/assemble/wanted.js'
import { certificateNames, teeTypes } from '#attest/dcap/layout.js'
import { readPck } from '#attest/dcap/pck.js'
import { parseQuote } from '#attest/dcap/quote.js'
import { attempt, type Pool } from '#attest/pool.js'
import type { Recognised } from '#attest/recognise.js'
import { toBase64, toHex } from '#core/bytes/bytes.js'
import { members, readJson } from '#core/encoding/json-read.js'
import { text, time, whole } from '#core/encoding/json-scalars.js'
import type { UnixSeconds } from '#core/time.js'
import { parseCertificate } from '#core/x509/certificate.js'

/** Quote and collateral, as TDX and SGX both have them. */
export function dcapMembers({ bytes, title }: Recognised, pool: Pool) {
  return { quote: toBase64(bytes), collateral: intelCollateral(bytes, pool, title) }
}

/**
 * TCB info of the quote's machines, both documents of its TEE, the CRLs of the quote's own authorities; of several the newest,
 * and what is nearest where none is it or the quote does not say.
 */
function intelCollateral(quote: Uint8Array, pool: Pool, title: string) {
  const machine = attempt(() => authoritiesOf(quote))
  const named = (names: readonly string[]) =>
    pool.certificates
      .filter(({ name }) => names.includes(name))
      .toSorted((a, b) => b.certificate.notBefore - a.certificate.notBefore)[0]
  const authority = machine?.ca ?? named(certificateNames.ca)?.certificate.subject
  const root = machine?.root ?? named(certificateNames.root)?.certificate.subject
  const signer = named(certificateNames.signer)
  const isTdx = quote[4] === teeTypes.tdx
  const tcbInfo = bestOf(pool.tcbInfos, readTcbInfo, isTdx ? 'TDX' : 'SGX', machine?.fmspc ?? null)
  const qeIdentity = bestOf(pool.qeIdentities, readQeIdentity, isTdx ? 'TD_QE' : 'QE', null)
  const wanted = new Wanted()
  const parts = {
    tcbInfo: wanted.take(tcbInfo, 'TCB info'),
    tcbInfoSigner: wanted.take(signer?.der, 'the TCB signing certificate'),
    qeIdentity: wanted.take(qeIdentity, 'QE identity'),
    qeIdentitySigner: toBase64(signer?.der ?? new Uint8Array()),
    pckCrl: wanted.take(authority && crlOf(pool.crls, authority)?.der, 'the CRL of the PCK CA'),
    rootCrl: wanted.take(root && crlOf(pool.crls, root)?.der, 'the CRL of the Intel SGX Root CA'),
  }
  wanted.done(title)
  return parts
}

function authoritiesOf(quote: Uint8Array) {
  const [leaf, ca, root] = parseQuote(quote).chain
  const subject = (der: Uint8Array) => parseCertificate(der, 'certificate').subject
  return {
    ca: subject(ca),
    root: subject(root),
    fmspc: toHex(readPck(parseCertificate(leaf, 'PCK certificate')).fmspc),
  }
}

/** What a document of Intel says it is about, and which one of those it is. Nothing of it is verified. */
interface Claimed {
  /** of the TEE, as the document spells it */
  readonly id: string
  readonly fmspc: string | null
  readonly edition: number
  readonly issuedAt: UnixSeconds
}

const about = { id: text(20), tcbEvaluationDataNumber: whole(0xffff_ffff), issueDate: time }
const tcbInfoForm = members({ tcbInfo: members({ ...about, fmspc: text(12) }) })
const qeIdentityForm = members({ enclaveIdentity: members(about) })

function readTcbInfo(document: Uint8Array): Claimed {
  const { id, fmspc, tcbEvaluationDataNumber: edition, issueDate: issuedAt } = readJson(document, tcbInfoForm).tcbInfo
  return { id, fmspc: fmspc.toLowerCase(), edition, issuedAt }
}

function readQeIdentity(document: Uint8Array): Claimed {
  const {
    id,
    tcbEvaluationDataNumber: edition,
    issueDate: issuedAt,
  } = readJson(document, qeIdentityForm).enclaveIdentity
  return { id, fmspc: null, edition, issuedAt }
}

/**
 * The document of this TEE and, where one is named, this family of machines; of several the newest. Where none is, the
 * nearest, so that the verifier says what it is of instead; one that cannot be read is the farthest.
 */
function bestOf(
  documents: readonly Uint8Array[],
  read: (document: Uint8Array) => Claimed,
  id: string,
  fmspc: string | null,
): Uint8Array | undefined {
  const distance = (claimed: Claimed) =>
    (claimed.id === id ? 0 : 2) + (fmspc === null || claimed.fmspc === fmspc ? 0 : 1)
  const readable = documents.flatMap((document) => {
    const claimed = attempt(() => read(document))
    return claimed === null ? [] : [{ document, claimed, far: distance(claimed) }]
  })
  const [best] = readable.toSorted(
    (a, b) => a.far - b.far || b.claimed.edition - a.claimed.edition || b.claimed.issuedAt - a.claimed.issuedAt,
  )
  return best?.document ?? documents[0]
}
