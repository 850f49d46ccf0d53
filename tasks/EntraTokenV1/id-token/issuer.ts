/** The issuers that Azure DevOps used before Entra's own. */
export function isOldIssuer(issuer: string): boolean {
  return /^https:\/\/(?:vstoken\.dev\.azure\.com|app\.vstoken\.visualstudio\.com)(?:\/|$)/i.test(issuer);
}
