import { parseHclReport } from '#attest/azure/hcl-report.js'
import { parseRuntimeData } from '#attest/azure/runtime-data.js'
import { parseTpmQuote } from '#attest/azure/tpm-quote.js'
import { parseToken } from '#attest/cca/parse.js'
import { verifyQeIdentity, verifyTcbInfo } from '#attest/dcap/collateral.js'
import { readPck } from '#attest/dcap/pck.js'
import { cutQuote, parseQuote } from '#attest/dcap/quote.js'
import { parseReport as parseGpuReport } from '#attest/gpu/parse.js'
import { readRim } from '#attest/gpu/rim/rim.js'
import { parseDocument } from '#attest/nitro/parse.js'
import { readPemBundle } from '#attest/pem-bundle.js'
import { recognise } from '#attest/recognise.js'
import { parseEnclaveReport } from '#attest/sgx/parse.js'
import { readEndorsement } from '#attest/snp/endorsement.js'
import { parseReport as parseSnpReport } from '#attest/snp/parse.js'
import { parseCcel } from '#attest/tdx/ccel.js'
import { parseTdReport } from '#attest/tdx/parse.js'
import { parseRuntimeLog } from '#attest/tdx/runtime-log.js'
import { concat, fromUtf8, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { encodePem, parsePem } from '#core/encoding/pem.js'
import { isFailure } from '#core/failure.js'
import { parseCertificate } from '#core/x509/certificate.js'
import { backend } from '#crypto-backend'
import { dcapKeys, mintDcap } from '../fakes/dcap.js'
import { testTime } from '../fakes/platform.js'
import { caseSeeds } from './seeds.js'
import type { Target } from './target.js'

const dcap = ['tdx', 'sgx']
const snp = ['snp', 'sev-snp']
const gpu = ['gpu', 'nvidia-gpu']
const azure = ['azure', 'azure-vtpm']
const json = [
  '{"',
  '":',
  '[',
  ']',
  '}',
  ',',
  'null',
  '\\u0000',
  '__proto__',
  '1e309',
  '"svn":',
  '"tcbLevels":[',
  '"tcbStatus":"UpToDate"',
]

/** One after the other, each by itself. */
async function each(...parsers: readonly (() => unknown)[]): Promise<void> {
  for (const parse of parsers) {
    try {
      await parse()
    } catch (error) {
      if (!isFailure(error)) throw error
    }
  }
}

/** A document signed anew after each change, so that what is behind the signature is reached. */
function signedDocument(role: RegExp, member: string, verify: typeof verifyTcbInfo | typeof verifyQeIdentity): Target {
  const signer = mintDcap().then(({ signer }) => parseCertificate(signer))
  const key = backend.importPrivateKey('ES256', dcapKeys.signer.pkcs8)
  return {
    seeds: () =>
      caseSeeds(dcap, role).flatMap((response) => {
        const text = fromUtf8(response)
        const value = text.slice(text.indexOf(':') + 1, text.lastIndexOf(','))
        return [utf8(value), response]
      }),
    async run(value) {
      const response = concat(
        utf8(`{"${member}":`),
        value,
        utf8(`,"signature":"${toHex(await backend.sign(await key, value))}"}`),
      )
      const by = await signer
      await each(
        () => verify(response, 'tdx', by, testTime),
        () => verify(value, 'tdx', by, testTime),
      )
    },
    words: json,
  }
}

function pckCertificates(): readonly Uint8Array[] {
  return caseSeeds(dcap, /^quote$/).flatMap((quote) => {
    try {
      return parseQuote(cutQuote(quote)).chain
    } catch (error) {
      if (!isFailure(error)) throw error
      return [] // a case whose quote is broken
    }
  })
}

export const attestTargets: Readonly<Record<string, Target>> = {
  quote: {
    seeds: () => caseSeeds(dcap, /^quote$/),
    run: (bytes) =>
      each(
        () => cutQuote(bytes),
        () => {
          const quote = parseQuote(bytes)
          return [quote.chain, quote.bodyKind === 'sgx' ? parseEnclaveReport(quote) : parseTdReport(quote)]
        },
      ),
  },
  pck: { seeds: pckCertificates, run: (bytes) => readPck(parseCertificate(bytes)) },
  'tcb-info': signedDocument(/tcbInfo/, 'tcbInfo', verifyTcbInfo),
  'qe-identity': signedDocument(/qeIdentity/, 'enclaveIdentity', verifyQeIdentity),
  ccel: {
    seeds: () => caseSeeds(['tdx'], /^(ccel|eventLog)$/).map((log) => log.slice(0, 24 * 1024)),
    run: parseCcel,
    sizeMax: 24 * 1024,
  },
  'runtime-log': {
    seeds: () => caseSeeds(['tdx'], /^eventLog$/),
    run: parseRuntimeLog,
    words: ['"imr":3', '"event_type":134217729', '"digest":""', '"event":"', '"event_payload":"'],
  },
  'snp-report': { seeds: () => caseSeeds(snp, /^(report|snpReport)$/), run: parseSnpReport },
  'snp-certificate': {
    seeds: () => caseSeeds(snp, /^(vcek|vlek)$/).flatMap((pem) => parsePem(fromUtf8(pem), 'CERTIFICATE', 8)),
    run: (bytes) => readEndorsement(parseCertificate(bytes)),
  },
  'gpu-report': { seeds: () => caseSeeds(gpu, /report/i), run: parseGpuReport },
  rim: {
    seeds: () => caseSeeds(gpu, /rim/i),
    run: (bytes) => readRim(toBase64(bytes)),
    sizeMax: 64 * 1024,
    words: ['<Meta ', 'colloquialVersion="', '<ds:Signature', 'Hash0="', 'active="True"'],
  },
  nitro: { seeds: () => caseSeeds(['nitro'], /document/), run: parseDocument },
  cca: { seeds: () => caseSeeds(['cca', 'arm-cca'], /token/), run: parseToken },
  hcl: {
    seeds: () => caseSeeds(azure, /hclReport/),
    run: (bytes) =>
      each(
        () => parseHclReport(bytes, 'snp'),
        () => parseHclReport(bytes, 'tdx'),
      ),
  },
  'runtime-data': {
    seeds: () =>
      caseSeeds(azure, /hclReport/).flatMap((report) => [
        report.slice(1236),
        utf8(fromUtf8(report.slice(1236)).replace(/\0+$/, '')),
      ]),
    run: parseRuntimeData,
    words: json,
  },
  'tpm-quote': { seeds: () => caseSeeds(azure, /tpmQuoteMessage/), run: parseTpmQuote },
  recognise: {
    seeds: () => [
      ...caseSeeds(
        [...snp, ...dcap, ...gpu, 'nitro', 'cca', ...azure],
        /^(report|quote|document|token|hclReport|certChain)$/,
      ),
    ],
    run: recognise,
  },
  'pem-bundle': {
    seeds: () => {
      const beside = caseSeeds(snp, /^(vcek|vlek|certChain)$/).slice(0, 8)
      return caseSeeds(snp, /^report$/)
        .slice(0, 4)
        .flatMap((report) => beside.map((pem) => concat(utf8(encodePem(report, 'REPORT')), pem)))
    },
    run: readPemBundle,
    words: ['-----BEGIN REPORT-----\n', '-----END REPORT-----\n', '-----BEGIN X509 CRL-----\n', '-----', '\r\n', '='],
  },
}
