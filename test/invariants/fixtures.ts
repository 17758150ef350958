/** What belongs in test/invariants: one file an invariant, each with an attack on the whole chain. What other tests attack already is named there. */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ChainOptions, chainPlaces } from '#cli/chain.js'
import { nodeClientOptions } from '#cli/client-options.js'
import { clientPolicy } from '#cli/client-policy.js'
import { OwnerClient, queryFrom } from '#cli/owner-client.js'
import { compose } from '#cli/owner-statements.js'
import { loadTrust } from '#cli/trust-store.js'
import { NodeClient } from '#client/node-client.js'
import { loadModelKey, loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { canonicalJson } from '#core/encoding/json.js'
import { manifestDigest, parseManifest } from '#core/sealed/manifest.js'
import { manifestName } from '#core/sealed/signature.js'
import { apiVersion } from '#core/wire/release.js'
import type { Statement, StatementKind } from '#core/wire/statements.js'
import { createSecretFile } from '#host/files.js'
import { type Service, spawnService } from '#host/process.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import { testIo } from '#test/e2e/fixtures.js'
import { writeModelFolder } from '#test/fakes/graphs.js'
import { testPlatform } from '#test/fakes/platform.js'

export const nowSeconds = () => Math.floor(Date.now() / 1000)

/** POST of JSON: the status and the parsed answer. */
export async function post(url: string, path: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(new URL(path, url), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(canonicalJson(body)),
  })
  // biome-ignore lint/suspicious/noExplicitAny: the tests say what they expect of it
  return { status: response.status, body: (await response.json()) as any }
}

/** A chain's owner at its own machine: the keys that `openChain` made, and the broker over HTTP. */
export async function openOwner(folder: string, brokerUrl: string) {
  const at = chainPlaces(folder)
  const { signingKey } = await loadOwnerKeys(at.keys)
  const manifest = new Uint8Array(await readFile(join(at.sealed, manifestName)))
  const client = new OwnerClient(brokerUrl)
  const document = await client.document(null)
  const brokerId = thumbprint(document.key)
  const heads = async () => (await client.heads(queryFrom(signingKey, brokerId, nowSeconds()), signingKey)) ?? []
  const { model } = parseManifest(manifest)
  return {
    key: signingKey,
    model: model.id,
    broker: brokerId,
    document,
    heads,
    dek: () => loadModelKey(at.keys, manifestDigest(manifest)),
    /** Signs the next statement of its chain and sends it. */
    async say<K extends StatementKind>(
      kind: K,
      body: Omit<Statement<K>, 'type' | 'tenant' | 'sequence' | 'previous' | 'issuedAt' | 'why'>,
    ) {
      const { envelope } = await compose(kind, body, signingKey, await heads(), nowSeconds())
      return post(brokerUrl, '/v1/statements', { version: apiVersion, kind, statement: envelope })
    },
  }
}

/** Everything that a chain needs to open, in a new folder; as `openChain` takes it, in JSON. */
export async function prepareChain(options: Partial<ChainOptions> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'claviger-invariants-'))
  const modelFolder = join(folder, 'model')
  const { canary, width } = writeModelFolder(modelFolder, 'external')
  const chainFolder = join(folder, 'chain')
  await mkdir(chainFolder, { mode: 0o700 })
  const platform = await testPlatform({ at: nowSeconds() })
  await createSecretFile(chainPlaces(chainFolder).platform, exportPlatform(platform))
  const all: Omit<ChainOptions, 'io'> = {
    folder: chainFolder,
    modelFolder,
    modelName: 'matmul',
    databaseUrl: null,
    brokerPort: 0,
    nodePort: 0,
    leaseSeconds: 60,
    dangerousAllowInspection: false,
    ...options,
  }
  return { folder, options: all, canary, width }
}

interface Ready {
  readonly brokerUrl: string
  readonly nodeUrl: string
  readonly broker: string
  readonly logVkey: string
  readonly enginePid: number
  readonly witnessPid: number
  readonly model: string
  readonly trustPath: string
  readonly sealedPath: string
}

/** A client of the node of a chain in another process, with that chain's trust file. */
export async function clientOf(at: Ready) {
  const { trust } = await loadTrust(at.trustPath, nowSeconds())
  const policy = clientPolicy({ model: at.model, dangerousAllowSimulated: true }, trust)
  const client = new NodeClient(nodeClientOptions(at.nodeUrl, trust, policy, null, testIo()))
  return { client, trust, policy }
}

export interface ChainProcess {
  readonly service: Service
  readonly at: Ready
  /** the lines that it printed on standard error */
  readonly lines: string[]
  /** the first line that starts so, once it is printed */
  line(start: string): Promise<string>
}

/** A whole chain in a process of its own, with witness and engine as its children. */
export async function spawnChain(folder: string, options: Omit<ChainOptions, 'io'>): Promise<ChainProcess> {
  const file = join(folder, 'options.json')
  await writeFile(file, JSON.stringify(options))
  const lines: string[] = []
  let heard: () => void = () => undefined
  const onLogLine = (line: string) => {
    lines.push(line)
    heard()
  }
  const env = { TMPDIR: folder, XDG_STATE_HOME: join(folder, 'state') }
  let service: Service
  try {
    service = await spawnService('test/processes/chain.js', { args: [file], onLogLine, env, readyMs: 110_000 })
  } catch (cause) {
    throw new Error(`the chain does not open:\n${lines.join('\n')}`, { cause })
  }
  const line = (start: string) =>
    new Promise<string>((resolve) => {
      heard = () => {
        const found = lines.find((one) => one.startsWith(start))
        if (found !== undefined) resolve(found)
      }
      heard()
    })
  return { service, at: service.ready as unknown as Ready, lines, line }
}

/** A process with all that it started, as far as they live. */
export function familyOf(pid: number): readonly number[] {
  let children: readonly number[]
  try {
    children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    )
  } catch {
    return []
  }
  return [pid, ...children.flatMap(familyOf)]
}

/** A zombie that nobody has waited for yet holds no memory: it counts as gone. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Waits until it is so, for ten seconds at most: whoever needs it asserts it afterwards. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500 && !(await isSo()); i++) await new Promise((resolve) => setTimeout(resolve, 20))
}
