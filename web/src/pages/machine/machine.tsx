export default function MachinePage() { return <p>…</p>; }
