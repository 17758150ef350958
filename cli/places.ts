import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

/**
 * A base folder of the user. One that is empty or relative counts as unset: the protection against older trust files
 * would else forget what it knows with every change of folder.
 *
 * source  XDG Base Directory Specification 0.8, Basics
 */
function baseFolder(named: string | undefined, fallback: string): string {
  return named !== undefined && isAbsolute(named) ? named : join(homedir(), fallback)
}

/** Where this user's state lies. */
export function stateFolder(): string {
  return join(baseFolder(process.env.XDG_STATE_HOME, '.local/state'), 'claviger')
}

/** Where is kept what can be brought again. */
export function cacheFolder(): string {
  return join(baseFolder(process.env.XDG_CACHE_HOME, '.cache'), 'claviger')
}
