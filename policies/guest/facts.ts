import type { Json } from '#core/encoding/json.js'
import type { UnixSeconds } from '#core/time.js'

/** What is known of a guest's machine, in the words of policies/guest. A member that is absent is not known. */
export interface GuestEvidence {
  readonly tee: string
  readonly platform: 'hardware' | 'simulated' | 'vouched'
  readonly measurement?: string
  readonly platformId?: string
  readonly initData?: string
  readonly tcbStatus?: string
  readonly tcb: {
    readonly bootLoader?: number
    readonly tee?: number
    readonly snp?: number
    readonly microcode?: number
  }
}

/** What a resource policy is asked about. */
export interface ResourceFacts {
  readonly time: UnixSeconds
  readonly path: { readonly text: string; readonly repository: string; readonly type: string; readonly tag: string }
  readonly token: { readonly verifier: string; readonly ageSeconds: number }
  readonly evidence: GuestEvidence & { readonly tier: 'none' | 'affirming' | 'warning' | 'contraindicated' }
}

const factLengthMax = 256

function member(value: Json | undefined, ...path: readonly string[]): Json | undefined {
  let at = value
  for (const name of path) {
    if (at === null || typeof at !== 'object' || Array.isArray(at) || !Object.hasOwn(at, name)) return undefined
    at = (at as { readonly [name: string]: Json })[name]
  }
  return at
}

function text(value: Json | undefined): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= factLengthMax ? value : undefined
}

function octet(value: Json | undefined): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 255 ? value : undefined
}

/** Without members that are undefined: what is not known is absent, and a policy that reads it denies. */
function known<T extends object>(members: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}

/**
 * The facts in a token's claims, which have the names that deployed policies know.
 *
 * claims    what stands in the annotated evidence under the name of the kind of TEE
 * initData  hex, or null when the guest sent none
 * source    trustee deps/verifier, claims of snp, tdx, sgx and the vTPMs
 */
export function guestEvidence(of: {
  readonly tee: string
  readonly platform: GuestEvidence['platform']
  readonly claims: Json
  readonly initData: string | null
}): GuestEvidence {
  const { tee, platform, claims } = of
  const first = (...paths: readonly (readonly string[])[]) =>
    paths.map((path) => text(member(claims, ...path))).find((value) => value !== undefined)
  const svn = (name: string) => octet(member(claims, `reported_tcb_${name}`))
  const found = known({
    measurement: first(['measurement'], ['quote', 'body', 'mr_td'], ['body', 'mr_enclave']),
    platformId: first(['chip_id'], ['platform_provider_id']),
    initData: of.initData ?? undefined,
    tcbStatus: first(['tcb_status']),
  })
  const tcb = known({
    bootLoader: svn('bootloader'),
    tee: svn('tee'),
    snp: svn('snp'),
    microcode: svn('microcode'),
  })
  return { tee, platform, ...found, tcb } as GuestEvidence
}
