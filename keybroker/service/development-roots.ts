import { type Failure, isFailure } from '#core/failure.js'
import type { Database } from '#host/database.js'
import type { Broker } from '#keybroker/broker.js'
import { readTenant } from '#keybroker/standing.js'
import { listDevelopmentTenants, type TrustHead } from '#keybroker/store/tenants.js'
import { verifyOne } from '#policies/release/statements.js'

/** How many development tenants have a say, the oldest first; the others' guests are refused on the KBS route. */
export const developmentTenantsMax = 100

interface Known {
  /** what the rows said when they were verified */
  readonly head: string
  readonly roots: readonly string[]
}

/**
 * Roots of simulated evidence that owners of development tenants named in their trust statements, each verified with its
 * owner's keys when it is seen first. Evidence under one of them gets a token that says NOT HARDWARE, and no key of any
 * other tenant.
 *
 * Invariant: a tenant whose records are false has no say, and takes nobody else's (I18).
 */
export class DevelopmentRoots {
  readonly #broker: Pick<Broker, 'store' | 'heads'>
  readonly #database: Database
  readonly #report: (tenant: string, failure: Failure) => void
  #known = new Map<string, Known>()

  /** report: told of a tenant that was passed over, once for each state of its records */
  constructor(
    broker: Pick<Broker, 'store' | 'heads'>,
    database: Database,
    report: (tenant: string, failure: Failure) => void,
  ) {
    this.#broker = broker
    this.#database = database
    this.#report = report
  }

  /** The roots of now, as SHA-256 in hex. @throws database/... */
  async read(): Promise<readonly string[]> {
    const heads = await this.#database.read((db) => listDevelopmentTenants(db, developmentTenantsMax))
    const now = new Map<string, Known>()
    for (const one of heads) {
      const known = this.#known.get(one.tenant)
      const head = `${one.ownerKeysDigest} ${one.statements}`
      now.set(one.tenant, known?.head === head ? known : { head, roots: await this.#verify(one) })
    }
    this.#known = now
    return [...new Set([...now.values()].flatMap(({ roots }) => roots))]
  }

  async #verify({ tenant }: TrustHead): Promise<readonly string[]> {
    const { store, heads } = this.#broker
    try {
      const since = heads.now()
      const { made, trust } = await store.read(async (reader) => {
        const { made } = await readTenant(reader, tenant)
        const rows = await reader.loadStatements(tenant, '')
        heads.observe(tenant, rows, since)
        return { made, trust: rows.find((row) => row.kind === 'trust') }
      })
      if (trust === undefined || made.value.class !== 'development') return []
      return (await verifyOne('trust', trust.envelope, made, null)).value.simulatedRoots
    } catch (error) {
      if (!isFailure(error) || error.code.startsWith('database/')) throw error
      this.#report(tenant, error)
      return []
    }
  }
}
