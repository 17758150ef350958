import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseReport } from '#attest/snp/parse.js'
import { type Chain, chainPlaces, ownerAlias, timed } from '#cli/chain.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { type ChainCode, runByOwner } from '#cli/owner-process.js'
import { adminTokenPath } from '#cli/service-state.js'
import { loadOwnerPublicKey, ownerKeyFiles } from '#convert/keys/owner-keys.js'
import { fromBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { runProgram } from '#host/process.js'
import { platformName } from '#policies/credentials/platform.js'

/*
 * The demo's second act: who controls the company that runs the node. The same machine, at the same place, of the same company is
 * good enough for one model and not for another, by two packs of the library.
 */

const salt = 'demo'
const status = 'https://auditor.invalid/status/1'
const secondName = 'sovereign'

/** What the auditor of the demo found. Nobody of these exists. */
const found = {
  operator: {
    vct: 'urn:claviger:vct:operator-control:1',
    legalName: 'Example Hosting GmbH',
    ids: ['LEI:EXAMPLEHOSTING'],
    seat: 'DE',
    controllers: [{ country: 'US', shareBp: 10_000, veto: true }],
  },
  placement: (platform: string, at: number) => ({
    vct: 'urn:claviger:vct:platform-placement:1',
    ...{ platform, facility: 'fra-1', area: 'DE', exclave: false, seenAt: at - 86_400 },
  }),
}

interface Places {
  readonly auditor: string
  readonly host: string
  of(name: string): string
}

/** The auditor keeps the registry that ships, says who may say what, and signs what it found, as its commands do. */
async function audit(at: Places, platform: string, io: Io): Promise<void> {
  const keysFor = (folder: string, name: string) => runByOwner(['keys', 'new', '--out', folder, '--name', name])
  await Promise.all([keysFor(at.auditor, 'auditor'), keysFor(at.host, 'host')])
  const key = await loadOwnerPublicKey(join(at.auditor, ownerKeyFiles.public))
  const roles = ['operator-control', 'platform-placement'].map((kind) => ({ kind, areas: ['EEA'] }))
  const issuer = { id: 'example-auditor', title: 'An auditor', controlledBy: null, keys: [key], roles }
  const json = (name: string, value: unknown) => writeFile(at.of(name), JSON.stringify(value))
  await json('issuer-rows.json', { issuers: [issuer] })
  await json('operator.json', found.operator)
  await json('placement.json', found.placement(platform, io.now()))
  const signs = ['--keys', at.auditor]
  const issue = (name: string, index: number) =>
    runByOwner([
      ...[
        'credential',
        'issue',
        ...signs,
        '--claims',
        at.of(`${name}.json`),
        '--holder',
        join(at.host, ownerKeyFiles.public),
      ],
      ...['--status', status, '--index', `${index}`, '--out', at.of(`${name}.txt`)],
    ])
  const line = (name: string) => [...signs, '--name', name, '--document-version', '1', '--out', at.of(`${name}.json`)]
  await Promise.all([
    runByOwner(['registry', 'sign', ...line('law')]),
    runByOwner(['credential', 'directory', 'sign', ...line('issuers'), '--rows', at.of('issuer-rows.json')]),
    issue('operator', 1),
    issue('placement', 2),
    runByOwner(['credential', 'status', ...signs, '--uri', status, '--out', at.of('status.jwt')]),
  ])
}

/** Whether the node of the chain would get the key of a sealed model, as `doctor` says it to the owner. */
async function doctor(chain: Chain, folder: string, at: Places, model: string, sealed: string) {
  const { keys, platform, host, trust } = chainPlaces(folder)
  const asks = ['--model', `${ownerAlias}/${model}`, '--broker', chain.stack.url, '--sealed', sealed, '--trust', trust]
  const shows = ['--present', at.of('operator.txt'), '--present', at.of('placement.txt'), '--show', 'controllers']
  const { code, out, err } = await runProgram(
    'cli/main.js',
    [
      ...['doctor', ...asks, ...shows, '--status-list', at.of('status.jwt'), '--holder-keys', at.host],
      ...['--host-statement', host, '--keys', keys, '--platform-state', platform, '--dangerous-allow-simulated'],
    ],
    false,
  )
  return { code, out, err }
}

/** The chip of the chain's machine, as an auditor who stands before it would read it. */
async function platformOf(chain: Chain): Promise<string> {
  const { report } = await chain.attester.attest(new Uint8Array(64))
  return platformName(toHex(parseReport(fromBase64(report)).bytesOf('chipId')), salt)!
}

/**
 * Two models of one owner, one node: why it may have the first and not the second.
 *
 * model    name of the first, which the node runs
 * returns  what `doctor` says of each, for people
 * throws   chain/step, and what the parts throw
 */
export async function showControl(
  chain: Chain,
  { folder, modelFolder, model }: { readonly folder: string; readonly modelFolder: string; readonly model: string },
  io: Io,
): Promise<string> {
  const own = chainPlaces(folder)
  const place = join(folder, 'control')
  await mkdir(place)
  const at: Places = { auditor: join(place, 'auditor'), host: join(place, 'host'), of: (name) => join(place, name) }
  await timed(io, 'an auditor says who controls the host, and where its chip stands', async () => {
    await audit(at, await platformOf(chain), io)
    return [undefined, 'Germany, by a company of which another in the United States holds every share']
  })
  const second = join(place, secondName)
  const trust = at.of('trust.json')
  const owner = ['--broker', chain.stack.url, '--trust', trust, '--keys', own.keys]
  await timed(io, 'the owner believes that auditor, and has a second model', async () => {
    // Each chain has its own line of versions, as with its trust file.
    const name = `control-${toHex(sha256(utf8(chain.stack.broker))).slice(0, 12)}`
    const kept = `auditor=${join(at.auditor, ownerKeyFiles.public)}`
    await runByOwner([
      ...[
        'init',
        '--broker',
        chain.stack.url,
        '--broker-key',
        chain.stack.broker,
        '--owner',
        `${ownerAlias}=${own.keys}`,
      ],
      ...['--registry', kept, '--issuer', kept, '--runtime', own.runtime, '--name', name, '--out', trust],
    ])
    const said = ['--registry', at.of('law.json'), '--directory', at.of('issuers.json'), '--placement-salt', salt]
    await Promise.all([
      runByOwner(['sources', 'set', ...owner, ...said]),
      runByOwner(['seal', modelFolder, '--out', second, '--keys', own.keys, '--name', secondName, '--version', '1']),
    ])
    await runByOwner(['policy', 'set', 'eu-personal-data', '--model', model, ...owner])
    const terms = [
      '--policy',
      'third-country-control',
      '--class',
      'development',
      '--token',
      adminTokenPath(own.services),
    ]
    await runByOwner(['register', second, ...owner, ...terms])
    return [undefined, `${model} under eu-personal-data, ${secondName} under third-country-control`]
  })
  const [first, other] = await timed(io, 'the node asks for both', async () => {
    const [may, mayNot] = await Promise.all([
      doctor(chain, folder, at, model, own.sealed),
      doctor(chain, folder, at, secondName, second),
    ])
    if (may.code !== exitCodes.ok || mayNot.code !== exitCodes.verdict)
      throw new Failure<ChainCode>('chain/step', 'the node was to have the first model, and not the second', {
        detail: { said: `${may.out}${may.err}${mayNot.out}${mayNot.err}` },
      })
    return [[may, mayNot] as const, '']
  })
  const title = (text: string) => paint(io, 'bold', text)
  return `${title(`The same node, asked by ${model} (eu-personal-data) and ${secondName} (third-country-control):`)}\n${first.out}\n${other.out}`
}
