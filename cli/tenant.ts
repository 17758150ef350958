import type { Command } from 'commander'
import { atEach } from '#cli/each-broker.js'
import { exitCodes, type Io, printable } from '#cli/output.js'
import { describeOwner, type Owner, type OwnerArguments, openOwner, ownerExample, registrationOf } from '#cli/owner.js'
import { thumbprint } from '#core/crypto/jwk.js'

/** One model, by what its owner signed about it last. */
async function modelOf(owner: Owner, model: string, leases: number) {
  const registration = await registrationOf(owner, model)
  const policy = await owner.newest('policy', model)
  const revocation = await owner.newest('revocation', model)
  const { version, versionFloor, manifestDigest, delivery, lease, callers } = registration
  return {
    model,
    version,
    versionFloor,
    manifestDigest,
    delivery,
    lease,
    callers: callers === 'any' ? ('any' as const) : callers.length,
    policy:
      policy === null
        ? null
        : {
            name: policy.value.name,
            sequence: policy.value.sequence,
            digest: policy.digest,
            accepts: policy.value.accepts ?? null,
          },
    revoked: revocation?.value.revoked ?? [],
    leases,
  }
}

async function tenantOf(owner: Owner) {
  const tenant = await owner.newest('tenant', null)
  const trust = await owner.newest('trust', null)
  const leases = await owner.leases()
  const models = owner.heads.flatMap((head) => (head.kind === 'registration' && head.model ? [head.model] : []))
  const shown = []
  for (const model of models) {
    shown.push(await modelOf(owner, model, leases.filter((one) => one.model === model).length))
  }
  return {
    tenant: owner.key.id,
    name: tenant?.value.name ?? null,
    class: tenant?.value.class ?? null,
    keys: tenant?.value.keys.map(thumbprint) ?? [],
    broker: { key: thumbprint(owner.document.key), standing: owner.standing, kek: owner.document.kek },
    trust: trust && {
      sequence: trust.value.sequence,
      digest: trust.digest,
      verifiers: trust.value.verifiers.map(thumbprint),
      logs: trust.value.logs,
      simulatedRoots: trust.value.simulatedRoots.length,
    },
    models: shown,
  }
}

/** What the broker has of an owner: every line of it verified with the owner's own key. */
export async function runShow(args: OwnerArguments, io: Io): Promise<number> {
  const shown = await tenantOf(await openOwner(args, io))
  if (args.json) {
    io.stdout(`${JSON.stringify(shown, null, 2)}\n`)
    return exitCodes.ok
  }
  const { broker, trust, models } = shown
  io.stdout(`tenant   ${shown.tenant}, class ${shown.class} for ever\n`)
  io.stdout(`broker   ${broker.key}: ${broker.standing}, ${broker.kek}\n`)
  if (trust !== null) io.stdout(`trust    statement ${trust.sequence}, log ${printable(trust.logs.join(', '))}\n`)
  if ((trust?.simulatedRoots ?? 0) > 0) io.stdout(`         ${trust?.simulatedRoots} simulated roots: NOT HARDWARE\n`)
  for (const one of models) {
    const { seconds, budget, nodes } = one.lease
    io.stdout(`model    ${one.model.slice(44)} v${one.version}, not below v${one.versionFloor}\n`)
    io.stdout(
      `         policy ${one.policy?.name ?? 'none: nothing is released'}${one.policy?.accepts ? `, accepts ${one.policy.accepts}` : ''}, delivery ${one.delivery.join(', ')}\n`,
    )
    io.stdout(`         leases of ${seconds} s, ${budget.requests} requests, at most ${nodes}; ${one.leases} run now\n`)
    io.stdout(`         callers ${one.callers}, ${one.revoked.length} things taken back\n`)
  }
  return exitCodes.ok
}

export function describe(program: Command, io: Io): void {
  const tenant = program.command('tenant').description('what a broker has of you')
  describeOwner(
    tenant.command('show').description('your statements, models and leases there, verified'),
    false,
    'several',
  )
    .addHelpText('after', `\nExample:\n  ./claviger tenant show ${ownerExample}`)
    .action(async (args: OwnerArguments) => io.exit(await atEach(args, io, runShow)))
}
