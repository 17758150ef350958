import type { Io } from '#cli/output.js'
import type { OwnerClient } from '#cli/owner-client.js'
import { compose } from '#cli/owner-statements.js'
import type { RegisterArguments, RegisterCode } from '#cli/register-statements.js'
import { readToken } from '#cli/token-file.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Failure } from '#core/failure.js'
import type { Head } from '#core/wire/owner-query.js'

/** The owner is a tenant of the broker. @throws register/token, and the broker's refusal */
export async function ensureTenant(
  args: RegisterArguments,
  client: OwnerClient,
  owner: SigningKey,
  heads: readonly Head[] | null,
  io: Io,
): Promise<readonly Head[]> {
  if (heads !== null) return heads
  const tenant = await compose(
    'tenant',
    { name: 'owner', class: args.class, keys: [owner.publicKey] },
    owner,
    [],
    io.now(),
  )
  if (args.dryRun) return []
  if (args.token === undefined) {
    throw new Failure<RegisterCode>('register/token', 'the broker does not know you yet', {
      detail: { hint: "give the operator's admin token in a file: --token FILE" },
    })
  }
  const token = await readToken(args.token, 'the admin token')
  await client.createTenant(tenant.envelope, token)
  io.stderr(`tenant ${owner.id} made, class ${args.class} for ever\n`)
  return []
}
