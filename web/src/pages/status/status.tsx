export default function StatusPage() { return <p>…</p>; }
