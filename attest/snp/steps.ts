import type { Step } from '#attest/trace.js'

const abi = 'AMD 56860 SEV-SNP Firmware ABI, revision 1.58'
const kds = 'AMD 57230 VCEK Certificate and KDS Interface, revision 1.00'
const vlek = 'AMD 58369 VLEK Certificate Definition, revision 0.10'
const pkix = 'RFC 5280'
const own = 'docs/spec/evidence.md'

/** Steps of verifySnp, in order. */
export const snpSteps: readonly Step[] = [
  {
    id: 'snp/structure',
    document: abi,
    section: 'ATTESTATION_REPORT',
    expected:
      '1184 bytes of a known version, ECDSA P-384, reserved bytes and bits as specified, signed, asked for by the guest',
  },
  {
    id: 'snp/root',
    document: kds,
    section: 'KDS Interface',
    expected: "a root key that is one of AMD's, compiled in, or a simulated one that the caller named",
  },
  {
    id: 'snp/chain',
    document: pkix,
    section: 'Basic Path Validation',
    expected: 'endorsement key, intermediate and root certificate: names, dates, constraints, RSASSA-PSS signatures',
  },
  {
    id: 'snp/crl',
    document: pkix,
    section: 'CRL Validation',
    expected:
      "the root's list of revoked certificates: signed by it, current, not below the floor, listing none of the chain",
    without: 'the evidence came without a CRL of the vendor root: whether an authority was revoked is not known',
  },
  {
    id: 'snp/product',
    document: kds,
    section: 'VCEK Certificate Extensions',
    expected: 'root, certificate, name of the intermediate and CPUID speak of one product: Milan, Genoa or Turin',
  },
  {
    id: 'snp/signature',
    document: abi,
    section: 'ATTESTATION_REPORT',
    expected: 'bytes 0x000 to 0x29f signed by the certified key, VCEK or VLEK as the report says',
  },
  {
    id: 'snp/tcb',
    document: abi,
    section: 'TCB_VERSION',
    expected: "the reported TCB is the certificate's, part by part; reported <= committed <= current",
  },
  {
    id: 'snp/identity',
    document: kds,
    section: 'VCEK Certificate Extensions',
    expected: "a VCEK's hwID is the report's CHIP_ID, all 64 bytes; a VLEK names its provider",
  },
]

const field = (id: string, section: string, expected: string): Step => ({ id, document: abi, section, expected })
const report = (id: string, expected: string) => field(id, 'ATTESTATION_REPORT', expected)
const policy = (id: string, expected: string) => field(id, 'Guest Policy', expected)

/** Every comparison of appraiseSnp. */
export const snpChecks: readonly Step[] = [
  {
    id: 'platform',
    document: own,
    section: 'Evidence',
    expected: 'hardware; simulated evidence is a warning for development tenants and refused for others',
  },
  report('report-data', 'REPORT_DATA is what the caller bound in, all 64 bytes'),
  policy('debug', 'DEBUG, bit 19, is clear'),
  policy('memory-encryption', 'memory that the host cannot read: hardware, and DEBUG is clear'),
  {
    id: 'product-generation',
    document: own,
    section: 'Reference values',
    expected: 'Genoa or Turin; Milan, whose endorsement key can be recovered, is at best a warning',
  },
  report('measurement', 'MEASUREMENT is one that the owner accepts'),
  report('guest-svn', 'GUEST_SVN is at least what the owner asks for'),
  policy('migration-agent', 'MIGRATE_MA, bit 18, is clear, or the owner allows it'),
  field('smt', 'Guest Policy; PLATFORM_INFO', 'SMT is off and forbidden by the guest policy, or the owner allows it'),
  report('vmpl', 'VMPL is one that the owner accepts'),
  report('host-data', 'HOST_DATA is one that the owner accepts'),
  report('id-key', 'ID_KEY_DIGEST is one that the owner accepts'),
  report('author-key', 'AUTHOR_KEY_DIGEST is one that the owner accepts'),
  report('signing-key', 'SIGNING_KEY is of a kind that the owner accepts: VCEK, VLEK'),
  report('chip-id', 'CHIP_ID is one that the owner accepts, and not masked'),
  {
    id: 'csp-id',
    document: vlek,
    section: 'VLEK Certificate Definition',
    expected: 'the provider named by the certificate is one that the owner accepts',
  },
  {
    id: 'product',
    document: own,
    section: 'Reference values',
    expected: 'a product for which the owner has set floors',
  },
  field('tcb-reported', 'TCB_VERSION', 'REPORTED_TCB reaches the floor of the owner in every part'),
  field('tcb-committed', 'TCB_VERSION', 'COMMITTED_TCB reaches the floor of the owner in every part'),
  field('tcb-launch', 'TCB_VERSION', 'LAUNCH_TCB reaches the floor of the owner in every part'),
  field('alias-check', 'PLATFORM_INFO', 'ALIAS_CHECK_COMPLETE, bit 5, is set'),
  field('ciphertext-hiding', 'PLATFORM_INFO', 'CIPHERTEXT_HIDING_DRAM_EN, bit 4, is set'),
  {
    id: 'crl',
    document: own,
    section: 'Reference values',
    expected: 'a current CRL of the vendor root, where the owner requires one',
  },
]
