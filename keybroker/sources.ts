import type { Envelope } from '#core/dsse.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Signed, Statement } from '#core/wire/statements.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { verifySources, verifySourcesFollow } from '#policies/credentials/sources.js'
import { verifyOne } from '#policies/release/statements.js'

/** What an owner believes about places and companies can be decided by, now. @throws broker/sources */
export async function verifyUsable(value: Statement<'sources'>, at: UnixSeconds): Promise<void> {
  await asSources(() => verifySources(value, at))
}

/** A registry, or a directory, of a line that was used before is no older than it was then. @throws broker/sources */
export async function verifyNoOlder(
  before: Envelope,
  { value }: Signed<Statement<'sources'>>,
  made: Signed<Statement<'tenant'>>,
): Promise<void> {
  const last = (await verifyOne('sources', before, made, null)).value
  await asSources(async () => verifySourcesFollow(await verifySources(value, null), await verifySources(last, null)))
}

async function asSources(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<BrokerCode>('broker/sources', `${cause.message} (${cause.code})`, { cause })
  }
}
