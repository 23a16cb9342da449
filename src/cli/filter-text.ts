/** What of a filter's fields is called by the options that set it. */
const names: Readonly<Record<string, string>> = {
  agents: 'agent',
  sites: 'site',
  labels: 'label',
  rules: 'rule',
  capabilities: 'capability',
  minSeverity: 'severity from',
};

/** A filter as a person reads it, for example `site berlin or bonn, label role=web`; empty where all match. */
export function filterText(filter: object): string {
  const parts = Object.entries(filter).map(([key, value]: [string, unknown]) => {
    const name = names[key] ?? key;
    if (Array.isArray(value)) {
      // Of labels and capabilities all have to be there, of the rest any one.
      return `${name} ${value.join(key === 'capabilities' ? ' and ' : ' or ')}`;
    }
    if (typeof value === 'object' && value !== null)
      return `${name} ${Object.entries(value)
        .map((pair) => pair.join('='))
        .join(' and ')}`;
    return `${name} ${value}`;
  });
  return parts.join(', ');
}
