/** What is fuzzed: every parser that takes bytes of strangers. */
import type { Target } from './target.js'
import { attestTargets } from './targets-attest.js'
import { coreTargets } from './targets-core.js'
import { policyTargets } from './targets-policies.js'
import { serviceTargets } from './targets-services.js'

export const targets: Readonly<Record<string, Target>> = {
  ...coreTargets,
  ...attestTargets,
  ...serviceTargets,
  ...policyTargets,
}
