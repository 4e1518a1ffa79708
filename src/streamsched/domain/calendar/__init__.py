"""When a schedule fires: cron, calendars and intervals, in time zones, with daylight saving."""
