
-- installation
