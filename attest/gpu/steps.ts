import type { Step } from '#attest/trace.js'

const spdm = 'DMTF DSP0274 SPDM, 1.1'
const nvtrust = 'NVIDIA nvtrust, local_gpu_verifier, commit 028173093d43'
const pkix = 'RFC 5280'
const own = 'docs/spec/evidence-gpu.md'

/** Steps of verifyGpu, in order; each is passed when every device has passed it. */
export const gpuSteps: readonly Step[] = [
  {
    id: 'gpu/structure',
    document: spdm,
    section: 'MEASUREMENTS response message',
    expected:
      'a request for all measurements and its answer: 64 blocks of a GPU or 31 of a switch, in order, every length exact, no opaque type twice or unknown',
  },
  {
    id: 'gpu/chain',
    document: pkix,
    section: 'Basic Path Validation',
    expected:
      "firmware, BROM, provisioner, family and NVIDIA's device root, or a simulated one that the caller named: names of one chip, dates, constraints, ECDSA P-384 signatures",
  },
  {
    id: 'gpu/distinct',
    document: own,
    section: 'Steps of verification',
    expected: 'no device is there twice, by PDI or by key',
  },
  {
    id: 'gpu/nonce',
    document: spdm,
    section: 'GET_MEASUREMENTS request message',
    expected: 'every request carries the same nonce of 32 bytes',
  },
  {
    id: 'gpu/signature',
    document: spdm,
    section: 'MEASUREMENTS response message',
    expected: 'request and response, without the signature, signed by the certified key of the firmware',
  },
  {
    id: 'gpu/firmware',
    document: nvtrust,
    section: 'verify_gpu_certificate_chain',
    expected:
      'the digest of the firmware in the report is that of its certificate; only drivers 535 and 545 and switches may leave it out',
  },
  {
    id: 'gpu/rim',
    document: 'W3C XML Signature Syntax and Processing, 1.1',
    section: 'Core Validation',
    expected:
      "RIMs of driver and VBIOS of every device; each is asked for by a device, about its product and version, signed over all of it, by a chain that is valid and leads to NVIDIA's root for RIMs or a simulated one; no index counts in both RIMs of a device",
    without: 'the evidence came without RIMs: whether the devices run what NVIDIA released is not known',
  },
  {
    id: 'gpu/ocsp',
    document: 'RFC 6960',
    section: 'Signed Response Acceptance Requirements',
    expected:
      'an OCSP answer on every certificate of devices and RIMs but roots and firmware; each is on a certificate of this evidence, signed by a responder that its issuer appointed, current, and good; one on hold is revoked; no certificate is known to be revoked by an answer that is newer',
    without: 'the evidence came without OCSP answers: whether a certificate was revoked is not known',
  },
  {
    id: 'gpu/golden',
    document: nvtrust,
    section: 'Verifier.verify',
    expected:
      'index i of every RIM of every device is compared with block i + 1, one alternative is enough; index 35 is left out while NVDEC0 is disabled',
    without: 'the evidence came without RIMs: there is nothing to compare with',
  },
]

const check = (id: string, section: string, expected: string): Step => ({ id, document: own, section, expected })

/** Every comparison of appraiseGpu. */
export const gpuChecks: readonly Step[] = [
  check(
    'platform',
    'Evidence',
    'hardware; simulated evidence is a warning for development tenants and refused for others',
  ),
  check('report-data', 'Nonce', 'the nonce is the one that belongs to what the caller bound in'),
  check(
    'golden-values',
    'Golden values',
    'every measurement that a RIM counts equals one of its golden values, whatever the owner accepts',
  ),
  check(
    'rim',
    'Golden values',
    'RIMs of driver and VBIOS of every device, which show that developer mode is off: no field says that, nor that confidential computing is on; a warning where the owner does not require them',
  ),
  check(
    'ocsp',
    'Reference values',
    'a current OCSP answer on every certificate, where the owner requires them or all of them are there',
  ),
  check('devices', 'Reference values', 'exactly as many devices of each architecture as the owner asks for'),
  check('driver-version', 'Reference values', 'every driver is of a version that the owner accepts'),
  check('vbios-version', 'Reference values', 'every VBIOS is of a version that the owner accepts'),
  check('device-id', 'Reference values', 'every device is one that the owner accepts'),
  check(
    'mode',
    'Confidential computing and developer mode',
    'every GPU names a mode that the owner accepts; where the owner lists none, one that names no mode and is without RIMs is a warning',
  ),
  check(
    'topology',
    'Topology',
    'GPUs in protected PCIe are shown to be one whole board with its switches; a warning where the owner does not require it',
  ),
]
