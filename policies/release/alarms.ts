/**
 * Denials that are an alarm: what they rest on happens to no honest machine, so that somebody has to look at it. Each with what
 * was seen, for whoever runs the broker and for whoever audits its log.
 */
const seen: Readonly<Record<string, string>> = {
  'broker/device-leased': 'evidence of one device was presented by two nodes: it is in another lease that runs',
  'broker/place-contradicted':
    'what was said of the place of this platform contradicted itself before, and its owner did not clear that',
  'claviger/place-contradicted': 'what is said of the place of this node contradicts itself',
}

export interface Alarm {
  /** the reason of the denial */
  readonly reason: string
  readonly seen: string
}

/** reasons: codes and ids of rules that denied, as the log has them */
export function alarmsIn(reasons: readonly string[]): readonly Alarm[] {
  return reasons.flatMap((reason) => (Object.hasOwn(seen, reason) ? [{ reason, seen: seen[reason]! }] : []))
}
