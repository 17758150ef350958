import { clockFinding } from '#cli/doctor/database.js'
import { type Finding, finding } from '#cli/doctor/finding.js'

const timeoutMs = 5000

/** A witness answers at its address: with a refusal, since nothing is submitted. */
export async function lookAtWitness(url: string): Promise<readonly Finding[]> {
  const fix = 'start it: ./claviger serve witness --state services --listen 127.0.0.1:8784; or correct the address'
  const asked = Date.now() / 1000
  let response: Response
  try {
    response = await fetch(`${url.replace(/\/$/, '')}/add-checkpoint`, {
      method: 'POST',
      body: '',
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    })
    await response.body?.cancel()
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)
    return [finding('witness', 'fault', `the witness at ${url} does not answer: ${cause.slice(0, 200)}`, fix)]
  }
  const answered = Date.now() / 1000
  if (![400, 403, 404, 409, 413, 415, 422].includes(response.status) || response.status === 404)
    return [finding('witness', 'fault', `what answers at ${url} is no witness: status ${response.status}`, fix)]
  const date = Date.parse(response.headers.get('date') ?? '') / 1000
  const found = [finding('witness', 'ok', `the witness at ${url} answers`)]
  // The header has whole seconds: it is the second in which the answer was made.
  return Number.isNaN(date) ? found : [...found, clockFinding(`the witness at ${url}`, date, asked - 1, answered)]
}
