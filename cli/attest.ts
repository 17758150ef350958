import type { Command } from 'commander'
import * as explain from '#cli/attest/explain.js'
import * as verify from '#cli/attest/verify.js'
import type { Io } from '#cli/output.js'

const collect = (value: string, all: readonly string[] = []) => [...all, value]

const verifyHelp = `
Recognised: our evidence envelope, a KBS attestation message, SEV-SNP reports (bare or as the device replies), TDX and SGX
quotes, Nitro documents, Azure HCL reports, NVIDIA device reports and Arm CCA tokens, each also as hex or base64, or as a block of
a PEM text with certificates and lists beside it.

What a raw report lacks comes from the folder of --collateral: certificates and CRLs (PEM or DER), TCB info and QE identity
(JSON), an event log, RIMs, the quote of a vTPM. Files are told apart by content; their names do not matter, but that a
chain of one of several devices begins as its report does (gpu0-report.bin, gpu0-chain.pem).

Reference values are yours as you wrote them, or a document that a publisher of your trust file signed: a set (claviger reference
sign), an in-toto/SLSA statement or a CoRIM. A signed document needs --trust; a statement and a CoRIM need --values too.

Examples:
  ./claviger attest verify evidence.json --report-data 1f2e... --reference-values values.json
  ./claviger attest verify evidence.json --reference-values image.corim --values values.json --trust trust.json
  ./claviger attest verify quote.bin --collateral collateral/ --at 2026-03-01T00:00:00Z
  base64 -d < report.b64 | ./claviger attest verify - --collateral certificates/ --json

Exit 0 every step passed, 3 verdict against, partial (a step was skipped) or simulated, 2 usage, 1 trouble.`

const explainHelp = `
Each line: offset, size, name, value. Nothing that is shown has been verified.

Evidence of every form that attest verify recognises; of what stands beside it certificates and CRLs, TCB info and QE identity,
event logs (CCEL event by event, or JSON), the quote of a vTPM, a TDREPORT, RIMs and OCSP answers.

Examples:
  ./claviger attest explain report.bin
  ./claviger attest explain evidence.json --json
  ./claviger attest explain vcek.pem

Exit 0 decoded, 2 usage, 1 not evidence.`

export function describe(program: Command, io: Io): void {
  const command = program.command('attest').description('verify and explain evidence of TEEs')
  command
    .command('verify')
    .argument('<file>', 'the evidence; - is standard input')
    .description('verify a piece of evidence of any kind, step by step')
    .option('--at <time>', 'judge at this time, such as 2026-03-01T00:00:00Z (default: now)')
    .option(
      '--collateral <dir>',
      'folder of certificates, CRLs and other documents of the vendor, one such file, or an offline bundle',
    )
    .option('--nonce <hex>', 'the nonce that the evidence has to answer, where its form has one')
    .option('--report-data <hex>', 'the 64 bytes that the evidence has to carry')
    .option('--binding <file>', 'what the evidence of a node of ours binds (JSON): joins devices to their machine')
    .option(
      '--reference-values <file>',
      'what you accept: reference values, the file of a runtime, or a signed set, SLSA statement or CoRIM',
    )
    .option('--values <file>', 'values that a signed statement names, or whose lists a CoRIM replaces')
    .option('--trust <file>', 'your trust file: publishers, simulated roots and the oldest lists that you take')
    .option('--simulated-root <hex>', 'SHA-256 of the key of a throwaway root; may be given again', collect)
    .option('--dangerous-allow-simulated', 'accept simulated evidence: NOT HARDWARE, for development only')
    .option('--verbose', 'print expectation and section of the steps that passed too')
    .option('--json', 'print verdict and trace as JSON')
    .addHelpText('after', verifyHelp)
    .action(async (file: string, options: Omit<verify.AttestVerifyArguments, 'file'>) => {
      io.exit(await verify.run({ ...options, file }, io))
    })
  command
    .command('explain')
    .argument('<file>', 'evidence, or a document beside it (below); - is standard input')
    .description('show what evidence says, field by field under the names of its specification, and judge nothing')
    .option('--json', 'print the fields as JSON')
    .addHelpText('after', explainHelp)
    .action(async (file: string, options: Omit<explain.AttestExplainArguments, 'file'>) => {
      io.exit(await explain.run({ ...options, file }, io))
    })
}
