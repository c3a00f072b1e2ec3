/** Stands in every row that was synced while histories were recorded, and may stand nowhere in them. */
export const ROW_MARK = 'MARK-OF-A-ROW-0815';
