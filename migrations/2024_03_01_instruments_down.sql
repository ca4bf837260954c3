DROP TABLE holidays;
DROP TABLE instruments;
