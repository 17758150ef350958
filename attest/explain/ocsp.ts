import { type ExplainedPart, field } from '#attest/explain/part.js'
import { explainCertificate } from '#attest/explain/x509.js'
import { attempt } from '#attest/pool.js'
import { toHex } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import { commonName } from '#core/x509/certificate.js'
import { type OcspAnswer, parseOcsp } from '#core/x509/ocsp-answer.js'
import { ocspSubject } from '#core/x509/ocsp-request.js'

const document = 'RFC 6960'

/** A SEQUENCE that begins with an ENUMERATED of one byte: the status of the answer. */
const isOcsp = (bytes: Uint8Array) =>
  bytes[0] === 0x30 && /^30(?:8[12])?(?:..){1,2}0a01/.test(toHex(bytes.subarray(0, 6)))

function statusText({ status }: OcspAnswer): string {
  return typeof status === 'string' ? status : `revoked at ${formatTime(status.revokedAt)}, ${status.reason}`
}

/** An answer on one certificate, and the certificate of who gave it; null for bytes that are none. */
export function explainOcsp(bytes: Uint8Array): readonly ExplainedPart[] | null {
  if (!isOcsp(bytes)) return null
  try {
    const answer = parseOcsp(bytes)
    const { issuerName, issuerKey, serial } = ocspSubject(answer.id)
    const { responder, responderId, algorithm, producedAt, thisUpdate, nextUpdate } = answer
    const by = 'key' in responderId ? `key ${toHex(responderId.key)}` : `name ${toHex(responderId.name)}`
    const fields = [
      field('responderID', by),
      field('producedAt', formatTime(producedAt)),
      field('certID.issuerNameHash', `SHA-384 ${issuerName}`),
      field('certID.issuerKeyHash', `SHA-384 ${issuerKey}`),
      field('certID.serialNumber', serial),
      field('certStatus', statusText(answer)),
      field('thisUpdate', formatTime(thisUpdate)),
      field('nextUpdate', formatTime(nextUpdate)),
      field('signatureAlgorithm', algorithm),
      field('(whole)', `SHA-256 ${answer.digest}`, null, bytes.length),
    ]
    const name = attempt(() => commonName(responder.subject)) ?? ''
    const signer = explainCertificate({ der: responder.der, certificate: responder, name })
    return [
      { title: 'OCSP answer', document, fields },
      { ...signer, title: `${signer.title} of the responder` },
    ]
  } catch (error) {
    if (!isFailure(error)) throw error
    return [{ title: 'OCSP answer', document, fields: [field('(not read)', `${error.message} (${error.code})`)] }]
  }
}
