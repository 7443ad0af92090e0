"""Alerts: rules over metrics, judged every minute, told once per breach."""
