import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { formatTime } from '#core/time.js'
import { type Binding, reportDataOf } from '#core/wire/binding.js'
import type { DeviceEvidence, MachineEvidence } from '#core/wire/evidence.js'
import type { GpuReferenceValues, ReferenceValues } from '#core/wire/reference-values.js'
import { defaultPolicy } from '#runtime/attester/simulated/report.js'
import { testAzureValues } from './azure-vectors.js'
import { ccaKeyDigests } from './cca.js'
import { testCcaValues } from './cca-vectors.js'
import { bound, challenge, type Machine, mintComposite, mintDevices, mintMachine } from './composite.js'
import { dcapRootDigest } from './dcap.js'
import { testSgxValues, testTdxValues } from './dcap-vectors.js'
import { gpuRootDigest, pdiOf } from './gpu.js'
import { testGpuValues } from './gpu-vectors.js'
import { nitroRootDigest } from './nitro.js'
import { testNitroValues } from './nitro-vectors.js'
import { testReferenceValues, testRootDigest, testTime } from './platform.js'

/** One minted case: a good node with one thing done differently, and what must come of it; see SnpCase. */
interface CompositeCase {
  readonly name: string
  readonly code: string | null
  readonly crypto: 'pass' | 'fail'
  readonly roots: readonly string[]
  readonly mint: () => Promise<Node>
  /** null: the owner asks for no devices */
  readonly gpu: Partial<GpuReferenceValues> | null
}

interface Node {
  readonly cpu: MachineEvidence
  /** null: the machine alone */
  readonly devices: readonly DeviceEvidence[] | null
  /** null: the reader has no binding, but the report data alone */
  readonly binding: Binding | null
  readonly reportData?: Uint8Array
}

const roots = [testRootDigest, dcapRootDigest, gpuRootDigest]
const only = (HOPPER: number) => ({ devices: { HOPPER, BLACKWELL: undefined, LS10: undefined } })
const one = only(1)
const two = only(2)
type More = Partial<Pick<CompositeCase, 'gpu' | 'roots'>>
const make =
  (crypto: 'pass' | 'fail') =>
  (code: string | null, name: string, mint: () => Promise<Node>, more: More = {}): CompositeCase => ({
    name,
    code,
    crypto,
    roots,
    mint,
    gpu: one,
    ...more,
  })
const passes = (name: string, mint: () => Promise<Node>, more: More = {}) => make('pass')(null, name, mint, more)
const refused = make('pass')
const unverified = make('fail')

/** A node of which everything is good. */
async function good(kind: Machine = 'snp', devices: Parameters<typeof mintDevices>[1] = [{}]): Promise<Required<Node>> {
  const { evidence, binding } = await mintComposite(kind, devices)
  return { cpu: evidence.cpu, devices: evidence.devices, binding, reportData: reportDataOf(binding) }
}
/** A machine that binds what its binding says, whatever came along. */
async function alone(binding: Binding, kind: Machine = 'snp'): Promise<Node> {
  return { cpu: await mintMachine(kind, reportDataOf(binding)), devices: null, binding }
}
/** A node whose devices are taken as they come: the machine binds exactly them. */
async function taking(devices: readonly DeviceEvidence[]): Promise<Node> {
  const binding = bound(challenge(), devices)
  return { cpu: await mintMachine('snp', reportDataOf(binding)), devices, binding }
}
const otherNode = { keyset_digest: '99'.repeat(32) }

const cases: readonly CompositeCase[] = [
  passes('machine-and-device', () => good()),
  passes('machine-and-two-devices', () => good('snp', [{}, {}]), { gpu: two }),
  passes('td-and-device', () => good('tdx')),
  passes('azure-vm-and-device', () => good('azure-snp')),
  passes('machine-alone', () => alone(challenge()), { gpu: null }),
  refused('devices', 'machine-alone-where-devices-are-asked-for', () => alone(challenge())),
  refused('devices', 'devices-left-out', async () => ({ ...(await good()), devices: null })),
  refused(
    'devices-digest',
    'devices-left-out-that-nobody-asks-for',
    async () => ({ ...(await good()), devices: null }),
    {
      gpu: null,
    },
  ),
  refused('devices-digest', 'devices-that-the-machine-does-not-bind', async () => ({
    ...(await alone(challenge())),
    devices: [await mintDevices(challenge(), [{}])],
  })),
  refused('devices-digest', 'device-exchanged-for-another', async () => ({
    ...(await good()),
    devices: [await mintDevices(challenge(), [{ number: 1 }])],
  })),
  refused('devices-digest', 'one-of-two-devices-left-out', async () => ({
    ...(await good('snp', [{}, {}])),
    devices: [await mintDevices(challenge(), [{}])],
  })),
  refused('devices-digest', 'no-binding', async () => ({ ...(await good()), binding: null })),
  refused('report-data', 'machine-of-another-node', async () => {
    const node = await good()
    return { ...node, binding: { ...node.binding!, ...otherNode } }
  }),
  refused('devices/report-data', 'devices-of-another-node', async () =>
    taking([await mintDevices(challenge(otherNode), [{}])]),
  ),
  refused('devices/report-data', 'devices-that-answer-another-challenge', async () =>
    taking([await mintDevices(challenge({ nonce: `${'A'.repeat(42)}E` }), [{}])]),
  ),
  refused('devices/report-data', 'devices-that-answer-the-bare-nonce', async () =>
    taking([await mintDevices(challenge(), [{ nonce: new Uint8Array(32) }])]),
  ),
  refused('devices/reference-values', 'devices-that-the-owner-does-not-ask-for', () => good(), { gpu: null }),
  refused('devices/devices', 'one-device-more-than-asked-for', () => good('snp', [{}, {}])),
  refused('devices/devices', 'one-device-less-than-asked-for', () => good(), { gpu: two }),
  refused('devices/devices', 'device-of-another-architecture', () => good('snp', [{ architecture: 'BLACKWELL' }])),
  refused('devices/mode', 'device-in-another-mode', () => good(), { gpu: { ...one, modes: ['SPT'] } }),
  refused('devices/device-id', 'device-that-is-not-listed', () => good(), {
    gpu: { ...one, deviceIds: [toHex(pdiOf('HOPPER', 5))] },
  }),
  refused('debug', 'debug-guest-with-good-devices', async () => {
    const devices = [await mintDevices(challenge(), [{}])]
    const binding = bound(challenge(), devices)
    const debug = { report: { policy: defaultPolicy | (1n << 19n) } }
    return { cpu: await mintMachine('snp', reportDataOf(binding), debug), devices, binding }
  }),
  unverified('gpu/duplicate-device', 'one-device-twice', () => good('snp', [{}, { number: 0 }]), { gpu: two }),
  unverified('gpu/signature', 'device-report-changed-after-signing', async () =>
    taking([
      await mintDevices(challenge(), [
        { afterSigning: (report) => report.map((byte, i) => (i === report.length - 1 ? byte ^ 1 : byte)) },
      ]),
    ]),
  ),
  unverified('gpu/unknown-root', 'root-of-devices-that-nobody-named', () => good(), { roots: [testRootDigest] }),
  unverified('snp/unknown-root', 'root-of-the-machine-that-nobody-named', () => good(), { roots: [gpuRootDigest] }),
]

/** That devices belong to a machine is judged by one code for all kinds, and shown of each. */
const everyKind: readonly Machine[] = ['tdx', 'sgx', 'azure-snp', 'azure-tdx', 'nitro', 'cca']
const ofEveryKind = everyKind.flatMap((kind): readonly CompositeCase[] => {
  const own = kind === 'nitro' ? [nitroRootDigest] : kind === 'cca' ? ccaKeyDigests : [testRootDigest, dcapRootDigest]
  const more = { roots: [...own, gpuRootDigest] }
  return [
    ...(kind === 'tdx' || kind === 'azure-snp' ? [] : [passes(`${kind}-and-device`, () => good(kind), more)]),
    refused('devices', `${kind}-alone-where-devices-are-asked-for`, () => alone(challenge(), kind), more),
    refused(
      'devices-digest',
      `${kind}-that-does-not-bind-the-devices`,
      async () => ({ ...(await alone(challenge(), kind)), devices: [await mintDevices(challenge(), [{}])] }),
      more,
    ),
  ]
})

const names = { cpu: 'cpu.json', devices: 'devices.json', binding: 'binding.json', values: 'reference-values.json' }

async function filesOf(node: Node, gpu: CompositeCase['gpu']): Promise<ReadonlyMap<string, Uint8Array>> {
  const kinds: ReferenceValues = { ...testSgxValues(), ...testNitroValues(), ...testCcaValues() }
  const first: ReferenceValues = { ...testReferenceValues(), ...testTdxValues(), ...testAzureValues() }
  const machine = node.cpu.kind in kinds ? kinds : first
  const values = gpu === null ? machine : { ...machine, ...testGpuValues(gpu) }
  return new Map([
    ['cpu', canonicalJson(node.cpu)],
    ...(node.devices ? [['devices', canonicalJson(node.devices)] as const] : []),
    ...(node.binding ? [['binding', canonicalJson(node.binding)] as const] : []),
    ['referenceValues', canonicalJson(values)],
  ])
}

/** Every minted case as path and bytes below one folder. A file that an earlier case has is named, not repeated. */
export async function mintCompositeVectors(): Promise<ReadonlyMap<string, Uint8Array>> {
  const out = new Map<string, Uint8Array>()
  const known = new Map<string, string>()
  for (const one of [...cases, ...ofEveryKind]) {
    const node = await one.mint()
    const files: Record<string, string> = {}
    for (const [role, bytes] of await filesOf(node, one.gpu)) {
      const name = role === 'referenceValues' ? names.values : names[role as 'cpu' | 'devices' | 'binding']
      const digest = toHex(sha256(bytes))
      const path = known.get(digest) ?? `${one.name}/${name}`
      known.set(digest, path)
      out.set(path, bytes)
      files[role] = path.startsWith(`${one.name}/`) ? name : `../${path}`
    }
    out.set(`${one.name}/case.json`, utf8(`${JSON.stringify(caseJson(one, node, files), null, 2)}\n`))
  }
  return out
}

function caseJson(one: CompositeCase, node: Node, files: Readonly<Record<string, string>>): unknown {
  return {
    tee: 'composite',
    product: node.cpu.kind,
    realHardware: false,
    note: 'NOT HARDWARE',
    proves: one.name.replaceAll('-', ' '),
    source: 'minted by test/fakes/composite-vectors.ts with the throwaway keys of machines and devices',
    files,
    validAt: formatTime(testTime),
    reportData: toHex(node.reportData ?? reportDataOf(node.binding!)),
    expect: one.code === null ? 'pass' : 'fail',
    expectCrypto: one.crypto,
    ...(one.code === null ? {} : { code: one.code }),
    simulatedRoots: one.roots,
    tenantClass: 'development',
  }
}
