import { crlOf } from '#attest/assemble/amd.js'
import { Wanted } from '#attest/assemble/wanted.js'
import { certificateNames } from '#attest/dcap/layout.js'
import { readPck } from '#attest/dcap/pck.js'
import { parseQuote } from '#attest/dcap/quote.js'
import { attempt, type Pool } from '#attest/pool.js'
import type { Recognised } from '#attest/recognise.js'
import { fromUtf8, toBase64, toHex } from '#core/bytes/bytes.js'
import { parseCertificate } from '#core/x509/certificate.js'

/** Quote and collateral, as TDX and SGX both have them. */
export function dcapMembers({ bytes, title }: Recognised, pool: Pool) {
  return { quote: toBase64(bytes), collateral: intelCollateral(bytes, pool, title) }
}

/** TCB info of the quote's machines, the CRLs of the quote's own authorities; the only ones there are, where that is not known. */
function intelCollateral(quote: Uint8Array, pool: Pool, title: string) {
  const machine = attempt(() => authoritiesOf(quote))
  const named = (names: readonly string[]) => pool.certificates.find(({ name }) => names.includes(name))
  const authority = machine?.ca ?? named(certificateNames.ca)?.certificate.subject
  const root = machine?.root ?? named(certificateNames.root)?.certificate.subject
  const fmspc = machine && `"fmspc":"${machine.fmspc}"`
  const tcbInfo = fmspc
    ? pool.tcbInfos.find((one) => fromUtf8(one).toLowerCase().replace(/\s/g, '').includes(fmspc))
    : undefined
  const signer = named(certificateNames.signer)
  const wanted = new Wanted()
  const parts = {
    tcbInfo: wanted.take(tcbInfo ?? pool.tcbInfos[0], 'TCB info'),
    tcbInfoSigner: wanted.take(signer?.der, 'the TCB signing certificate'),
    qeIdentity: wanted.take(qeIdentityOf(quote, pool), 'QE identity'),
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

/** That of the TEE of the quote, where a folder holds both. */
function qeIdentityOf(quote: Uint8Array, pool: Pool): Uint8Array | undefined {
  const id = quote[4] === 0x81 ? '"td_qe"' : '"qe"'
  return pool.qeIdentities.find((one) => fromUtf8(one).toLowerCase().includes(id)) ?? pool.qeIdentities[0]
}
