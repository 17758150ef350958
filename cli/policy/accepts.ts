import { Option } from 'commander'
import type { PolicyCommandCode } from '#cli/policy/text.js'
import { Failure } from '#core/failure.js'
import type { Statement } from '#core/wire/statements.js'
import type { PolicySet } from '#policies/index.js'
import { asksForPlacement } from '#policies/placement.js'

export type Accepts = Statement<'policy'>['accepts']

export function acceptsOption(): Option {
  return new Option(
    '--accept <what>',
    'sign that a production policy without a placement may have any genuine chip, one that somebody broke at home too; every receipt says so',
  ).choices(['any-genuine-chip'])
}

/** What a broker would deny every release by is refused before it is signed. @throws policy-command/any-genuine-chip */
export function verifyAccepted(tenantClass: string, policy: PolicySet, accepts: Accepts): void {
  if (tenantClass === 'development' || accepts !== undefined || asksForPlacement(policy)) return
  throw new Failure<PolicyCommandCode>(
    'policy-command/any-genuine-chip',
    'this policy takes any genuine chip, wherever it stands, and a chip that somebody broke gives the weights away',
    {
      detail: {
        hint: 'ask for context.site.grade >= 3 in each permit, as eu-personal-data does, or say --accept any-genuine-chip',
      },
    },
  )
}
