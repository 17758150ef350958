import type { AzureCode } from '#attest/azure/codes.js'
import type { CcaCode } from '#attest/cca/codes.js'
import type { DcapCode } from '#attest/dcap/codes.js'
import type { GpuCode } from '#attest/gpu/codes.js'
import type { NitroCode } from '#attest/nitro/codes.js'
import type { SgxCode } from '#attest/sgx/codes.js'
import type { SnpCode } from '#attest/snp/codes.js'
import type { TdxCode } from '#attest/tdx/codes.js'
import type { X509Code } from '#core/x509/certificate.js'
import type { ChainCode } from '#core/x509/chain.js'
import type { CrlCode } from '#core/x509/crl.js'
import type { OcspCode } from '#core/x509/ocsp-answer.js'

/** Every failure that a verification can raise. */
export type VerificationCode =
  | SnpCode
  | DcapCode
  | TdxCode
  | SgxCode
  | NitroCode
  | AzureCode
  | CcaCode
  | GpuCode
  | X509Code
  | ChainCode
  | CrlCode
  | OcspCode

const report = 'fetch the report again from the guest device and send its 1184 bytes unchanged'
const signedReport =
  'send the 1184 bytes of the report unchanged, with the certificate for the chip, or provider, and the TCB of this report'
const certificates = 'fetch the certificates of this chip and TCB again from the vendor and send them unchanged'
const crl = 'fetch the CRL of the vendor root again and send it unchanged'
const quote = 'fetch the quote again from the guest device, cut it to its own length and send it unchanged'
const collateral = 'fetch TCB info, QE identity and both CRLs again from the vendor and send them byte for byte'
const device = 'fetch the report of each device again for this challenge, cut to its own length, and send it unchanged'
const deviceChain = 'fetch the five certificates of this device again and send them leaf first'
const token = 'ask the realm management monitor for a token again and send its bytes unchanged'
const document = 'ask the hypervisor for a document again and send its bytes unchanged'
const rim = 'fetch the RIM for the version that the device reports again from NVIDIA and send it unchanged'
const hcl = 'read NV index 0x01400001 of the vTPM again and send its 2600 bytes unchanged'
const tpmQuote = 'quote the SHA-256 bank with the attestation key again; send TPMS_ATTEST, signature and PCRs unchanged'
const ocsp = 'fetch the OCSP answers again from the vendor and send them unchanged'
const clock =
  'it counts from a later time on: compare the clocks of both machines, or judge at a time at which it counts'
const over = 'it is over: fetch it again, or judge at a time at which it counted'

/** What a host can do about each failure. The compiler demands a line for every code. */
export const fixes: Readonly<Record<VerificationCode, string>> = {
  'snp/size': report,
  'snp/version': 'this firmware writes a report version that the verifier does not know; update one of the two',
  'snp/signature-algorithm': report,
  'snp/reserved': 'this firmware uses a report layout that the verifier does not know; update one of the two',
  'snp/policy-reserved': 'start the guest with a policy of the known bits (bit 17 set, bits 26 and up clear)',
  'snp/key-info': report,
  'snp/unsigned': 'unmask the chip key on the host, so that reports are signed',
  'snp/author-key': report,
  'snp/vmpl': report,
  'snp/host-requested': 'ask for the report from inside the guest',
  'snp/unknown-root': 'send the chain of a genuine AMD processor; simulated roots are for development tenants only',
  'snp/endorsement-key': certificates,
  'snp/certificate': certificates,
  'snp/crl-floor': 'fetch the newest CRL of the vendor root and send it with the evidence',
  'snp/product': certificates,
  'snp/endorser-name': certificates,
  'snp/signing-key': 'send the certificate of the kind of key that signed: VCEK or VLEK',
  'snp/signature': signedReport,
  'snp/tcb-reserved': report,
  'snp/tcb-certificate': 'fetch the certificate for the reported TCB: firmware was updated since',
  'snp/tcb-order': 'commit the firmware update on the host, then start the guest again',
  'snp/chip-id': 'send the certificate of this chip, and unmask the chip id on the host',
  'snp/csp-id': certificates,
  'dcap/size': quote,
  'dcap/version': 'this machine writes a quote version that the verifier does not know; update one of the two',
  'dcap/key-type': 'use the quoting enclave that signs with ECDSA on P-256',
  'dcap/tee-type': quote,
  'dcap/qe-vendor': "use Intel's quoting enclave",
  'dcap/body': 'this machine writes a report version that the verifier does not know; update one of the two',
  'dcap/length': quote,
  'dcap/certification-data': 'set the machine up so that its quotes carry the PCK certificate chain',
  'dcap/certificates': quote,
  'dcap/unknown-root': 'send a quote of a genuine Intel machine; simulated roots are for development tenants only',
  'dcap/certificate-name': quote,
  'dcap/pck-certificate': 'fetch the PCK certificate of this machine again and let it quote anew',
  'dcap/collateral-form': collateral,
  'dcap/collateral-signature': collateral,
  'dcap/collateral-not-yet-valid': clock,
  'dcap/collateral-expired': over,
  'dcap/collateral-kind': 'send the collateral of the kind of the quote: that of TDX differs from that of SGX',
  'dcap/crl-floor': collateral,
  'dcap/tcb-floor': collateral,
  'dcap/fmspc': 'fetch the TCB info for the FMSPC of this machine',
  'dcap/pce-id': 'fetch the TCB info for the FMSPC of this machine',
  'dcap/qe-signature': quote,
  'dcap/attestation-key': quote,
  'dcap/qe-identity': "use Intel's quoting enclave of the current release",
  'dcap/signature': quote,
  'tdx/body': 'send the evidence under the kind that it is: sgx for an enclave',
  'tdx/module-identity': 'update the TDX module of the host, and fetch the TCB info again',
  'tdx/module-signer': "run Intel's TDX module",
  'tdx/module-attributes': "run Intel's TDX module of the production release",
  'tdx/event-log-form': 'send the event log as the guest holds it, or none',
  'tdx/event-log-replay': 'read the event log and the quote at the same time, with nothing measured in between',
  'sgx/body': 'send the evidence under the kind that it is: tdx for a TD',
  'sgx/quote-version': 'let the enclave ask for a quote of version 3',
  'gpu/size': device,
  'gpu/request': device,
  'gpu/response': device,
  'gpu/blocks': 'this device writes a report that the verifier does not know; update one of the two',
  'gpu/opaque': device,
  'gpu/opaque-duplicate': device,
  'gpu/opaque-type': 'this firmware writes opaque data that the verifier does not know; update one of the two',
  'gpu/opaque-version': 'this firmware writes opaque data that the verifier does not know; update one of the two',
  'gpu/trailing': device,
  'gpu/duplicate-device': 'send each device once',
  'gpu/nonces-differ': 'ask every device with one nonce',
  'gpu/unknown-root': 'use genuine NVIDIA devices; simulated roots are for development tenants only',
  'gpu/certificate': deviceChain,
  'gpu/device-name': deviceChain,
  'gpu/signature': device,
  'gpu/fwid': 'restart the device: it runs other firmware than its certificate is for',
  'gpu/rim-form': rim,
  'gpu/rim-digest': rim,
  'gpu/rim-certificate': rim,
  'gpu/rim-signature': rim,
  'gpu/rim-product': rim,
  'gpu/rim-version': rim,
  'gpu/rim-floor': 'fetch the RIMs of the device again: the vendor has a newer one of this id',
  'gpu/rim-index': 'fetch both RIMs of the device again: they overlap, so one of them is for something else',
  'gpu/collateral-unused': 'send only the RIMs and OCSP answers of the devices that are sent, each once',
  'nitro/cose': document,
  'nitro/algorithm': document,
  'nitro/form': document,
  'nitro/members': 'this hypervisor writes members that the verifier does not know; update the verifier',
  'nitro/module-id': document,
  'nitro/digest': 'this hypervisor writes a digest that the verifier does not know; update the verifier',
  'nitro/timestamp': document,
  'nitro/pcrs': document,
  'nitro/certificates': document,
  'nitro/field-size':
    'ask for a document with user_data and nonce of at most 512 bytes, and a public_key of at most 1024',
  'nitro/unknown-root':
    "send a document of an enclave in AWS's commercial regions; simulated roots are for development tenants only",
  'nitro/authority': document,
  'nitro/signing-key': document,
  'nitro/not-yet-made': 'compare the clocks of both machines',
  'nitro/signature': document,
  'azure/size': hcl,
  'azure/header': hcl,
  'azure/report-type': 'send the evidence under the kind of the machine: azure-snp or azure-tdx',
  'azure/runtime-size': hcl,
  'azure/hash-type': hcl,
  'azure/padding': hcl,
  'azure/vmpl': hcl,
  'azure/td-report': 'read the HCL report and fetch the TD quote again, both of this virtual machine',
  'azure/runtime-binding': hcl,
  'azure/runtime-data': 'this paravisor writes runtime data that the verifier does not know; update one of the two',
  'azure/attestation-key':
    'this paravisor names an attestation key that the verifier does not know; update one of the two',
  'azure/quote-form': tpmQuote,
  'azure/pcr-bank': 'quote one selection, of the SHA-256 bank',
  'azure/quote-signature':
    'quote with the attestation key at 0x81000003, and send the HCL report of this virtual machine',
  'azure/pcr-selection': 'send the values of exactly the PCRs that were quoted',
  'azure/pcr-digest': 'read the PCRs again and quote at the same time, with nothing measured in between',
  'cca/form': token,
  'cca/collection': 'send the whole token of RMM 1.0 or later: platform and realm half, under tag 399 or 907',
  'cca/cose': token,
  'cca/algorithm': 'this platform signs with an algorithm that the verifier does not know; update one of the two',
  'cca/claims': 'this platform writes claims that the verifier does not know; update one of the two',
  'cca/profile': 'this platform writes a profile that the verifier does not know; update one of the two',
  'cca/claim': token,
  'cca/hash-algorithm': 'this platform uses a hash function that the verifier does not know; update one of the two',
  'cca/realm-key':
    'this platform writes the key of a realm in a form that the verifier does not know; update one of the two',
  'cca/platform-key': 'send the key of the platform as DER SubjectPublicKeyInfo, P-256 or P-384, uncompressed',
  'cca/unknown-key':
    'no key of a CCA platform is compiled in; keys that a reader names are for development tenants only',
  'cca/platform-signature': 'send the key of the platform that signed the token',
  'cca/binding': 'update the firmware: platform and realm token do not belong together',
  'cca/realm-signature': token,
  'x509/size': certificates,
  'x509/form': certificates,
  'x509/version': certificates,
  'x509/algorithm': certificates,
  'x509/duplicate-extension': certificates,
  'x509/critical-extension': certificates,
  'x509/extension': certificates,
  'chain/length': certificates,
  'chain/not-yet-valid': clock,
  'chain/expired': over,
  'chain/issuer-name': certificates,
  'chain/not-a-ca': certificates,
  'chain/key-usage': certificates,
  'chain/path-length': certificates,
  'chain/signature': certificates,
  'crl/size': crl,
  'crl/form': crl,
  'crl/critical-extension': crl,
  'crl/no-next-update': crl,
  'crl/issuer-name': crl,
  'crl/key-usage': crl,
  'crl/not-yet-valid': clock,
  'crl/expired': over,
  'crl/signature': crl,
  'crl/revoked': 'the vendor revoked this authority: fetch certificates under its successor',
  'ocsp/size': ocsp,
  'ocsp/form': ocsp,
  'ocsp/not-successful': 'ask the responder again: it answered that it could not answer',
  'ocsp/algorithm': 'ask the responder with SHA-384, and send its answer unchanged',
  'ocsp/critical-extension': ocsp,
  'ocsp/no-next-update': ocsp,
  'ocsp/responder': ocsp,
  'ocsp/not-yet-valid': clock,
  'ocsp/expired': over,
  'ocsp/signature': ocsp,
  'ocsp/revoked':
    'the vendor revoked this certificate: replace the device, or fetch the RIM that stands under its successor',
  'ocsp/unknown': ocsp,
}
